// WWW-Authenticate as registries send it, and as attackers would.
import { describe, expect, it } from 'vitest';
import { parseChallenges } from './challenge.js';

const plain = (header: string | string[] | undefined) => parseChallenges(header).map((c) => [c.scheme, Object.fromEntries(c.parameters)]);

describe('parseChallenges', () => {
  it.each<[string | string[] | undefined, unknown[]]>([
    [undefined, []],
    ['', []],
    ['Basic', [['basic', {}]]],
    ['Basic realm="x"', [['basic', { realm: 'x' }]]],
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"',
      [['bearer', { realm: 'https://auth.docker.io/token', service: 'registry.docker.io', scope: 'repository:library/debian:pull' }]],
    ],
    ['bearer REALM = "a" , Service=b', [['bearer', { realm: 'a', service: 'b' }]]],
    [
      'Basic realm="a", Bearer realm="b,c",scope="d e"',
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b,c', scope: 'd e' }],
      ],
    ],
    [
      ['Basic realm="a"', 'Bearer realm="b"'],
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    ['Bearer realm="a\\"b\\\\c"', [['bearer', { realm: 'a"b\\c' }]]],
    [
      'Negotiate, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    [
      'Negotiate dG9rZW4=, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    ['Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
    [',, ,Bearer ,, realm=a,,', [['bearer', { realm: 'a' }]]],
    [
      'Bearer realm="unclosed',
      [
        ['bearer', {}],
        ['realm', {}],
      ],
    ],
    ['Bearer error="insufficient_scope"', [['bearer', { error: 'insufficient_scope' }]]],
    ['"', []],
    ['=', []],
    ['Bearer realm=', [['bearer', {}]]],
    ['x'.repeat(20_000), []],
  ])('%j', (header, challenges) => {
    expect(plain(header)).toEqual(challenges);
  });

  it.each(['a='.repeat(8000), '"\\'.repeat(8000), ', '.repeat(8000), 'a '.repeat(8000), 'a="'.repeat(5000), 'A~'.repeat(8000)])(
    'ends soon for %.20j…',
    (header) => {
      const begun = performance.now();
      parseChallenges(header);
      // Ten times what it needs on a slow machine; a quadratic reading would take minutes.
      expect(performance.now() - begun).toBeLessThan(2000);
    },
  );
});

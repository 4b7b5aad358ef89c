// Docker's rules for command, entrypoint and environment.
import { describe, expect, it } from 'vitest';
import { effectiveArgs, effectiveEnv } from './process.js';

describe('effectiveArgs', () => {
  const image = { Entrypoint: ['/entry'], Cmd: ['default'] };
  it.each([
    ['nothing given', {}, ['/entry', 'default']],
    ['a command', { command: ['x'] }, ['/entry', 'x']],
    ['an entrypoint leaves out the image command', { entrypoint: ['/e'] }, ['/e']],
    ['both', { entrypoint: ['/e'], command: ['x'] }, ['/e', 'x']],
    ['no entrypoint', { entrypoint: [] }, ['default']],
    ['no entrypoint, a command', { entrypoint: [], command: ['x'] }, ['x']],
    ['an empty command is none', { command: [] }, ['/entry', 'default']],
  ])('%s', (_, spec, args) => expect(effectiveArgs(spec, image)).toEqual(args));
});

describe('effectiveEnv', () => {
  it('takes defaults, then the image, then the options', () =>
    expect(
      effectiveEnv(
        new Map<string, string | undefined>([
          ['A', '2'],
          ['GONE', undefined],
        ]),
        { Env: ['PATH=/bin', 'A=1', 'GONE=1', 'EMPTY='] },
        'web',
        '/root',
      ),
    ).toEqual(['PATH=/bin', 'HOSTNAME=web', 'A=2', 'EMPTY=', 'HOME=/root'])); // prettier-ignore

  it('keeps a HOME that the image sets', () => expect(effectiveEnv(undefined, { Env: ['HOME=/h'] }, undefined, '/')).toContain('HOME=/h'));
});

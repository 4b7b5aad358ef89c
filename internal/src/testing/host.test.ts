// The probes must tell the truth, and a missing need must be loud where it is required.
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { host, need } from './host.js';

host.define('the moon', { test: () => false, cure: 'fly there' });
host.define('a probe that throws', { test: () => JSON.parse('{'), cure: 'none' });

// What is missing on purpose here is nobody's skip.
const log = process.env['CTR_SKIP_LOG'];
delete process.env['CTR_SKIP_LOG'];
afterAll(() => {
  if (log !== undefined) process.env['CTR_SKIP_LOG'] = log;
});

describe('need', () => {
  afterEach(() => {
    delete process.env['CTR_REQUIRE'];
  });

  it('says what is missing and how to get it, in the title', () => {
    const n = need('linux', 'the moon');
    expect(n.ok).toBe(false);
    expect(n.title('walks')).toBe('walks [skipped: needs the moon: fly there]');
  });

  it('leaves the title alone when everything is there', () => {
    expect(need('linux').title('walks')).toBe('walks');
  });

  it('throws for a missing feature that CTR_REQUIRE lists', () => {
    process.env['CTR_REQUIRE'] = 'root,the moon';
    expect(() => need('the moon')).toThrow('CTR_REQUIRE lists the moon');
  });

  it('takes a probe that throws for a no', () => {
    expect(host.can('a probe that throws')).toBe(false);
  });

  it('refuses a feature without a probe', () => {
    expect(() => need('rooot')).toThrow('no probe is called "rooot"');
  });

  it('agrees with the user id', () => {
    expect(host.can('ordinary-user')).toBe(process.getuid?.() !== 0);
  });
});

// What this host can do, found by trying; tests say in one line what they need.
import { appendFileSync } from 'node:fs';
import { attempt, findProgram, PROBES, type Probe, probeOf } from './probes.js';

const known = new Map<string, boolean>();

/** The host as tests see it. */
export const host = {
  /**
   * True when all features are there. Each is tried once per process.
   * Names: root, ordinary-user, userns, overlay, overlay-in-userns, mknod, busybox, static-cc, registry, skopeo, umoci, mmdebstrap,
   * runc, crun, bwrap, docker, strace, newuidmap, linux, and `cgroup1:X`, `cgroup2:X`, `cgroup:X` for a controller X.
   */
  can(...features: string[]): boolean {
    return features.every((f) => {
      const probe = probeOf(f);
      if (probe === undefined)
        throw new TypeError(`no probe is called "${f}"; there are: ${Object.keys(PROBES).join(', ')}, cgroup:<controller>`);
      const before = known.get(f);
      const now = before ?? attempt(probe.test);
      known.set(f, now);
      return now;
    });
  },
  /** Adds a feature of a test suite's own, such as a fixture that takes minutes to build. */
  define(feature: string, probe: Probe): void {
    PROBES[feature] = probe;
  },
  /** Where a program lies, also in /usr/sbin; throws when it is missing. */
  program(name: string): string {
    const file = findProgram(name);
    if (file === undefined) throw new Error(`${name} is not installed`);
    return file;
  },
};

export interface Need {
  /** True when everything is there. */
  ok: boolean;
  /** Empty when ok, else what is missing and how to get it. */
  reason: string;
  /** The title with the reason behind it, so that a skip explains itself in the report. */
  title(text: string): string;
}

/**
 * States what a group of tests needs: `const n = need('root', 'cgroup:memory'); describe.skipIf(!n.ok)(n.title('memory'), …)`.
 * A missing feature that CTR_REQUIRE (names with commas) lists throws, so that a green run cannot mean "nothing ran".
 */
export function need(...features: string[]): Need {
  const missing = features.filter((f) => !host.can(f));
  const reasons = missing.map((f) => `needs ${f}: ${probeOf(f)?.cure.replace(/\s*\n\s*/g, '; ')}`);
  const reason = reasons.join('; ');
  const required = (process.env['CTR_REQUIRE'] ?? '').split(',').filter((f) => missing.includes(f));
  if (required.length > 0) throw new Error(`CTR_REQUIRE lists ${required.join(', ')}, but this host lacks it: ${reason}`);
  const log = process.env['CTR_SKIP_LOG'];
  if (log) for (const r of reasons) appendFileSync(log, `${r}\n`);
  return { ok: missing.length === 0, reason, title: (text) => (missing.length === 0 ? text : `${text} [skipped: ${reason}]`) };
}

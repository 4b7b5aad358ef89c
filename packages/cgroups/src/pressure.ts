// PSI triggers: the kernel tells when processes of a cgroup have waited too long for a resource.
import { existsSync } from 'node:fs';
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { watchPressure } from './native.js';
import { Bell, ringOnAbort, watchFiles } from './notices.js';
import { PRESSURE_RESOURCES, type Pressure, type PressureResource, parsePressure } from './pressure-stats.js';

/** A trigger; see {@link Cgroup.pressure}. */
export interface PressureTrigger {
  readonly resource: PressureResource;
  /** 'some': at least one process waits. 'full': all of them. Default: 'some'. */
  readonly kind?: 'some' | 'full' | undefined;
  /** Time lost within a window, in milliseconds, from which on it fires. */
  readonly stallMs: number;
  /** Milliseconds, 500 to 10000; a multiple of 2000 without CAP_SYS_RESOURCE (Linux 6.5). It fires at most once in a window. */
  readonly windowMs: number;
  /** Ends the telling. */
  readonly signal?: AbortSignal | undefined;
}

/** The trigger fired. */
export interface PressureEvent {
  readonly resource: PressureResource;
  /** When it was heard of, in milliseconds since 1970. */
  readonly at: number;
  /** The averages and totals at that moment; null when the cgroup is going. */
  readonly pressure: Pressure | null;
}

const KEYS = ['resource', 'kind', 'stallMs', 'windowMs', 'signal'];

export function checkTrigger(t: unknown, path = 'trigger'): asserts t is PressureTrigger {
  if (typeof t !== 'object' || t === null)
    throw new InvalidArgumentError(path, 'an object such as { resource: "memory", stallMs: 150, windowMs: 2000 }', t);
  for (const key of Object.keys(t))
    if (!KEYS.includes(key)) throw new InvalidArgumentError(`${path}.${key}`, `one of ${KEYS.join(', ')}`, key);
  const { resource, kind = 'some', stallMs, windowMs, signal } = t as PressureTrigger;
  if (!PRESSURE_RESOURCES.includes(resource))
    throw new InvalidArgumentError(`${path}.resource`, `one of ${PRESSURE_RESOURCES.join(', ')}`, resource);
  if (kind !== 'some' && kind !== 'full') throw new InvalidArgumentError(`${path}.kind`, '"some" or "full"', kind);
  if (typeof windowMs !== 'number' || !(windowMs >= 500 && windowMs <= 10_000))
    throw new InvalidArgumentError(`${path}.windowMs`, 'milliseconds from 500 to 10000', windowMs);
  if (typeof stallMs !== 'number' || !(stallMs > 0 && stallMs <= windowMs))
    throw new InvalidArgumentError(`${path}.stallMs`, 'milliseconds above 0, at most windowMs', stallMs);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new InvalidArgumentError(`${path}.signal`, 'an AbortSignal', signal);
}

/** "some 150000 2000000", in microseconds. */
export const triggerText = (t: PressureTrigger): string =>
  `${t.kind ?? 'some'} ${Math.max(1, Math.round(t.stallMs * 1000))} ${Math.round(t.windowMs * 1000)}`;

/** Ends when `signal` fires or the cgroup is gone. */
export async function* pressureEvents(
  directories: CgroupDirectories,
  trigger: PressureTrigger,
  signal: AbortSignal,
): AsyncGenerator<PressureEvent, void, undefined> {
  const { unified } = directories;
  const file = `${unified}/${trigger.resource}.pressure`;
  if (unified === undefined || tryRead(file) === null)
    throw new UnsupportedError(
      `${trigger.resource} pressure`,
      'cgroup2 and a kernel with PSI (psi=1)',
      unified ? `no ${file}` : 'cgroup v1',
      {
        hint: 'v1 has no PSI of its own; beside it cgroup2 mounted anywhere is enough',
      },
    );
  if (signal.aborted) return;
  const bell = new Bell();
  let fired = 0;
  const watched = watchPressure(file, triggerText(trigger), () => {
    fired += 1;
    // The file of a cgroup that is gone is ready for ever.
    if (!existsSync(file)) watched.close();
    bell.ring();
  });
  const end = watchFiles(unified, [], bell.ring);
  const abort = ringOnAbort(signal, bell);
  try {
    for (;;) {
      await bell.heard();
      if (signal.aborted || !existsSync(file)) return;
      if (fired > 0) yield { resource: trigger.resource, at: Date.now(), pressure: parsePressure(tryRead(file)) };
      fired = 0;
    }
  } finally {
    abort.stop();
    end.stop();
    watched.close();
  }
}

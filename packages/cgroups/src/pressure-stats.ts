// Pressure stall information (PSI): how much time is lost by waiting for a resource. See Documentation/accounting/psi.rst.
import { parseNested, type Source } from './controllers/controller.js';

/** What is waited for. */
export const PRESSURE_RESOURCES = ['cpu', 'memory', 'io', 'irq'] as const;

export type PressureResource = (typeof PRESSURE_RESOURCES)[number];

/** Shares of time, averaged over the last 10, 60 and 300 seconds, and the sum since the cgroup was made. */
export interface PressureTimes {
  readonly avg10Percent: number;
  readonly avg60Percent: number;
  readonly avg300Percent: number;
  readonly totalMs: number;
}

/** Time in which some, or all, processes of the cgroup waited; null where the kernel does not tell it (irq has no `some`). */
export interface Pressure {
  readonly some: PressureTimes | null;
  readonly full: PressureTimes | null;
}

/** By resource; a part is null on kernels without it. */
export type PressureStats = Readonly<Record<PressureResource, Pressure | null>>;

function times(values: Readonly<Record<string, string>> | undefined): PressureTimes | null {
  if (values?.['total'] === undefined) return null;
  const percent = (key: string): number => Number(values[key] ?? 0);
  return {
    avg10Percent: percent('avg10'),
    avg60Percent: percent('avg60'),
    avg300Percent: percent('avg300'),
    totalMs: Number(values['total']) / 1e3,
  };
}

/** Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; null when there is no such file, or PSI is switched off. */
export function parsePressure(text: string | null): Pressure | null {
  const lines = parseNested(text);
  const pressure = { some: times(lines['some']), full: times(lines['full']) };
  return pressure.some === null && pressure.full === null ? null : pressure;
}

/** Every cgroup2 cgroup has it, also without controllers, and so also on hybrid hosts. */
export function pressureStats(unified: Source | null): PressureStats | null {
  if (unified === null) return null;
  const all = PRESSURE_RESOURCES.map((r) => [r, parsePressure(unified.read(`${r}.pressure`))] as const);
  return all.every(([, p]) => p === null) ? null : (Object.fromEntries(all) as PressureStats);
}

// Handles and objects of RDMA devices. v1 and v2 have the same files.
import type { Resources } from '../resources.js';
import { type Controller, type Place, parseNested, type Rendered, type Sources, setting } from './controller.js';

/** Limits or usage of one RDMA device; `null` in an update lifts a limit. */
export interface RdmaLimit {
  readonly hcaHandles?: number | null | undefined;
  readonly hcaObjects?: number | null | undefined;
}

/** What is in use of one RDMA device. */
export interface RdmaStats {
  readonly hcaHandles: number;
  readonly hcaObjects: number;
}

function render(r: Resources, place: Place): Rendered[] {
  return Object.entries(r.rdma ?? {}).flatMap(([device, limit]) => {
    const words = (['hcaHandles', 'hcaObjects'] as const).flatMap((key) => {
      const value = limit[key];
      return value === undefined ? [] : [`${key === 'hcaHandles' ? 'hca_handle' : 'hca_object'}=${value ?? 'max'}`];
    });
    if (words.length === 0) return [];
    const value = `${device} ${words.join(' ')}`;
    return setting(place, { option: 'rdma', controller: 'rdma', file: 'rdma.max', value, none: '', feature: 'a limit on RDMA' });
  });
}

const read = (sources: Sources, file: string): Record<string, Record<string, string>> => parseNested(sources('rdma')?.read(file) ?? null);

export const rdma: Controller<Readonly<Record<string, RdmaStats>>> = {
  name: 'rdma',
  options: ['rdma'],
  render,
  collected: () => [],
  stats: (sources) => {
    if (sources('rdma') === null) return null;
    const used = Object.entries(read(sources, 'rdma.current'));
    return Object.fromEntries(
      used.map(([device, x]) => [device, { hcaHandles: Number(x['hca_handle'] ?? 0), hcaObjects: Number(x['hca_object'] ?? 0) }]),
    );
  },
  limits: (sources) => {
    const limited = Object.entries(read(sources, 'rdma.max')).flatMap(([device, x]) => {
      const own: Record<string, number> = {};
      if (x['hca_handle'] !== undefined && x['hca_handle'] !== 'max') own['hcaHandles'] = Number(x['hca_handle']);
      if (x['hca_object'] !== undefined && x['hca_object'] !== 'max') own['hcaObjects'] = Number(x['hca_object']);
      return Object.keys(own).length === 0 ? [] : [[device, own] as const];
    });
    return limited.length === 0 ? {} : { rdma: Object.fromEntries(limited) };
  },
};

// Scalar resources that have no controller of their own, such as keys for encrypted virtual machines (sev, sev_es, tdx).
import type { Resources } from '../resources.js';
import { type Controller, type Place, parseFlat, type Rendered, setting } from './controller.js';

function render(r: Resources, place: Place): Rendered[] {
  return Object.entries(r.misc ?? {}).flatMap(([name, value]) =>
    setting(place, {
      option: 'misc',
      controller: 'misc',
      file: 'misc.max',
      value: `${name} ${value ?? 'max'}`,
      none: '',
      feature: `a limit on ${name}`,
    }),
  );
}

export const misc: Controller<Readonly<Record<string, number>>> = {
  name: 'misc',
  options: ['misc'],
  render,
  collected: () => [],
  stats: (sources) => {
    const s = sources('misc');
    return s === null ? null : parseFlat(s.read('misc.current'));
  },
  limits: (sources) => {
    const limited = Object.entries(parseFlat(sources('misc')?.read('misc.max') ?? null)).filter(([, n]) => !Number.isNaN(n));
    return limited.length === 0 ? {} : { misc: Object.fromEntries(limited) };
  },
};

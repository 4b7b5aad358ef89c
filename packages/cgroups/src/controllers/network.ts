// v1's marks for network packets: a class for tc and iptables, and a priority for each interface. v2 has none: there a
// program or `iptables -m cgroup --path` looks at the cgroup itself.
import type { Resources } from '../resources.js';
import { type Controller, onlyV1, type Place, parseFlat, parseNumber, type Rendered, setting } from './controller.js';

const quiet = { collected: () => [], stats: () => null };

export const netCls: Controller<never> = {
  name: 'net_cls',
  options: ['netClassId'],
  render: (r: Resources, place: Place): Rendered[] => {
    if (r.netClassId === undefined) return [];
    const feature = 'a class for network packets';
    if (place.version === 2) return [onlyV1('netClassId', feature, 'net_cls')];
    return setting(place, {
      option: 'netClassId',
      controller: 'net_cls',
      file: 'net_cls.classid',
      value: r.netClassId,
      none: '0',
      feature,
    });
  },
  ...quiet,
  limits: (sources) => {
    const id = parseNumber(sources('net_cls')?.read('net_cls.classid') ?? null);
    return id ? { netClassId: id } : {};
  },
};

export const netPrio: Controller<never> = {
  name: 'net_prio',
  options: ['netPriorities'],
  render: (r: Resources, place: Place): Rendered[] =>
    Object.entries(r.netPriorities ?? {}).flatMap(([name, priority]) => {
      const feature = 'a priority for network packets';
      if (place.version === 2) return [onlyV1('netPriorities', feature, 'net_prio')];
      const value = `${name} ${priority}`;
      return setting(place, { option: 'netPriorities', controller: 'net_prio', file: 'net_prio.ifpriomap', value, none: '', feature });
    }),
  ...quiet,
  limits: (sources) => {
    const all = Object.entries(parseFlat(sources('net_prio')?.read('net_prio.ifpriomap') ?? null)).filter(([, n]) => n > 0);
    return all.length === 0 ? {} : { netPriorities: Object.fromEntries(all) };
  },
};

/** v1: lets perf record by cgroup; limits nothing. v2 has it without a controller to ask for. */
export const perfEvent: Controller<never> = { name: 'perf_event', options: [], render: () => [], ...quiet };

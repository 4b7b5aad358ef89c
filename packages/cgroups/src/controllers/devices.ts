// Which device files may be used: v1 has a controller with rules in files, v2 an eBPF program on the cgroup.
import { UnsupportedError } from '@ctr/internal/errors';
import type { Resources } from '../resources.js';
import type { Controller, Rendered } from './controller.js';
import { devicesV1, fullRules } from './device-rules.js';

export { DEFAULT_DEVICE_RULES } from './device-rules.js';

/** 'default' renders no limits: a v1 cgroup inherits its rules from the one above at birth (devcgroup_online), so a cgroup
 * with default rules is made below one that has them, and pays for none of the twelve writes. */
function render(r: Resources): Rendered[] {
  if (!Array.isArray(r.devices)) return [];
  const writes = devicesV1(fullRules(r.devices));
  if (writes === null)
    return [
      new UnsupportedError(
        'taking a part of a device rule back',
        'the device programs of cgroup v2',
        'the devices controller of cgroup v1',
        {
          hint: 'on v1 name the devices that are allowed, one by one, instead of excepting some from a wildcard',
        },
      ),
    ];
  return writes.map((w) => ({ option: 'devices', controller: 'devices', ...w }));
}

export const devices: Controller<never> = {
  name: 'devices',
  options: ['devices'],
  render,
  collected: () => [],
  stats: () => null,
};

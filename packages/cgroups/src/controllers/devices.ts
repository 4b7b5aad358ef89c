// Which device files may be used. v1 has a controller with rules in files; v2 wants an eBPF program, which is not here yet.
import type { Controller } from './controller.js';

/**
 * SECURITY: deny first, then allow by name, so that a device nobody thought of is denied. A device file may be made
 * ('m') of any number, as images hold them; to open it is another matter.
 */
export const DEFAULT_DEVICE_RULES: readonly string[] = [
  'c *:* m',
  'b *:* m',
  'c 1:3 rwm', // null
  'c 1:5 rwm', // zero
  'c 1:7 rwm', // full
  'c 1:8 rwm', // random
  'c 1:9 rwm', // urandom
  'c 5:0 rwm', // tty
  'c 5:1 rwm', // console
  'c 5:2 rwm', // ptmx
  'c 136:* rwm', // pts
];

/**
 * Renders no limits: a v1 cgroup inherits its rules from the one above at birth (devcgroup_online), so a cgroup with
 * default rules is made below one that has them, and pays for none of the twelve writes.
 */
export const devices: Controller<never> = {
  name: 'devices',
  options: ['devices'],
  render: () => [],
  collected: () => [],
  stats: () => null,
};

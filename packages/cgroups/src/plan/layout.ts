// The directories and files of a cgroup to be made: what both describing and making it go by. Pure.
import { type FullDeviceRule, fullRules } from '../controllers/device-rules.js';
import type { CgroupDirectories } from '../names.js';
import { checkName } from '../names.js';
import type { CgroupParent, ParentHierarchy } from '../parent/parent.js';
import { checkResources, type Resources } from '../resources.js';
import { devicesNotEnforced, needsDeviceProgram, renderOrThrow, type Terrain } from './render.js';
import { terrainOf } from './terrain.js';

/** One directory to make. */
export interface LayoutDirectory {
  readonly hierarchy: ParentHierarchy;
  readonly directory: string;
}

/** One file to write. */
export interface LayoutLimit {
  readonly option: keyof Resources;
  readonly file: string;
  readonly value: string;
}

export interface Layout {
  readonly made: readonly LayoutDirectory[];
  readonly limits: readonly LayoutLimit[];
  readonly directories: CgroupDirectories;
  readonly notEnforced: readonly (keyof Resources)[];
  /** v2: rules that need an eBPF program, which steps cannot load. */
  readonly deviceRules?: readonly FullDeviceRule[];
}

/** What a program has to enforce, because no directory that was prepared does. */
function deviceRules(terrain: Terrain, r: Resources): Pick<Layout, 'deviceRules'> {
  const { devices } = r;
  if (devices === undefined || devices === 'all') return {};
  return needsDeviceProgram(terrain, r) || devicesNotEnforced(terrain, r) ? { deviceRules: fullRules(devices) } : {};
}

/** Checks name and limits, and says what is to be made. */
export function layOut(parent: CgroupParent, name: string, resources: Resources): Layout {
  checkName(name, 'name');
  checkResources(resources);
  const terrain = terrainOf(parent);
  const limits = renderOrThrow(terrain, resources);
  const made = parent.hierarchies.map((hierarchy) => {
    const base = resources.devices === 'default' ? (hierarchy.defaultDevices ?? hierarchy.directory) : hierarchy.directory;
    return { hierarchy, directory: `${base}/${name}` };
  });
  const directories: Record<string, string> = {};
  for (const { hierarchy, directory } of made) {
    for (const c of hierarchy.controllers) directories[c] = directory;
    if (hierarchy.version === 2) directories['unified'] = directory;
  }
  return {
    made,
    limits: limits
      .filter((l) => l.lifts !== true)
      .map((l) => ({ option: l.option, file: `${directories[l.controller]}/${l.file}`, value: l.value })),
    directories,
    notEnforced: devicesNotEnforced(terrain, resources) ? ['devices'] : [],
    ...deviceRules(terrain, resources),
  };
}

// Reading limits back, in the words that they were set with.
import { CONTROLLERS } from './controllers/index.js';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import type { Resources } from './resources.js';
import { sourcesOf } from './stats.js';

/** What the kernel holds now; what is not limited is left out. */
export function readLimits(directories: CgroupDirectories): Resources {
  const sources = sourcesOf(directories, tryRead);
  return Object.assign({}, ...CONTROLLERS.map((c) => c.limits?.(sources) ?? {})) as Resources;
}

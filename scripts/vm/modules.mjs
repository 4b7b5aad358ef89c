// Which kernel modules must be loaded in which order: read from the modules.dep that depmod wrote.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** 'kernel/fs/9p/9p.ko.xz' -> '9p'; the kernel takes - and _ for the same. */
const moduleName = (file) =>
  path
    .basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

const lines = (file) => readFileSync(file, 'utf8').trimEnd().split('\n');

/** Files of the modules `names` with all they depend on, each after what it depends on; what is built into the kernel is left out. */
export function loadOrder(modulesDir, names) {
  const dependencies = new Map();
  for (const line of lines(path.join(modulesDir, 'modules.dep'))) {
    const [file, rest = ''] = line.split(':');
    dependencies.set(moduleName(file), { file, needs: rest.trim().split(/\s+/).filter(Boolean) });
  }
  const builtin = new Set(lines(path.join(modulesDir, 'modules.builtin')).map(moduleName));
  const order = new Set();
  const visit = (name) => {
    const module = dependencies.get(name);
    if (module === undefined) {
      if (builtin.has(name)) return;
      throw new Error(`the kernel in ${modulesDir} has no module called ${name}`);
    }
    // modprobe(8) loads the dependencies of a line from its end to its start.
    for (const file of module.needs.toReversed()) visit(moduleName(file));
    order.add(module.file);
  };
  for (const name of names) visit(name);
  return [...order];
}

/** The module as the kernel's init_module(2) takes it: Debian compresses modules since 13. */
export function readModule(file) {
  if (!file.endsWith('.xz')) return readFileSync(file);
  const { status, stdout, stderr, error } = spawnSync('xz', ['--decompress', '--stdout', file], { maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`xz could not decompress ${file}: ${error?.message ?? stderr}`);
  return stdout;
}

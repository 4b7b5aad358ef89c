// Where writable layers on disk lie: beside the default image store, by the same rule.
import { homedir } from 'node:os';
import path from 'node:path';

/** CTR_ROOT, else /var/lib/ctr for root, else $XDG_DATA_HOME/ctr or ~/.local/share/ctr. */
export function dataRoot(env: NodeJS.ProcessEnv = process.env, uid: number = process.geteuid?.() ?? 0): string {
  if (env['CTR_ROOT']) return path.resolve(env['CTR_ROOT']);
  if (uid === 0) return '/var/lib/ctr';
  const data = env['XDG_DATA_HOME'];
  return path.join(data && path.isAbsolute(data) ? data : path.join(homedir(), '.local', 'share'), 'ctr');
}

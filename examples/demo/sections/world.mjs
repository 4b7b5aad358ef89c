// A container's own processes, namespaces, host name and root, from inside and from outside.
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import process from 'node:process';
import { good, row, section, table } from '../show/page.mjs';

/** The first line of output, as JSON. */
async function firstLine(stream) {
  let text = '';
  while (!text.includes('\n')) text += String((await once(stream, 'data'))[0]);
  return JSON.parse(text.slice(0, text.indexOf('\n')));
}

const NAMES = { cgroup: 'cgroup', ipc: 'ipc', mnt: 'mount', net: 'network', pid: 'pid', time: 'time', user: 'user', uts: 'uts' };

/** Who the process is on the host. */
function outside(pid) {
  const uid = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return uid === '0' ? 'root, with 11 of its 41 capabilities' : `user ${uid}`;
}

const number = (link) => link.slice(link.indexOf('[') + 1, -1);

export async function itsOwnWorld({ run }) {
  section('A world of its own');
  await run('looking around', { hostname: 'inside', stdin: 'pipe' }, (container) => compare(container));
}

async function compare(container) {
  const seen = await firstLine(container.stdout);
  const namespacesOutside = Object.fromEntries(Object.keys(NAMES).map((name) => [name, readlinkSync(`/proc/${container.pid}/ns/${name}`)]));
  row('process', `inside it is PID ${seen.pid}, outside PID ${container.pid}`);
  row('processes', `it sees ${seen.processes.length}: ${seen.processes.join(', ')}`);
  row('host name', `inside ${seen.hostname}, outside ${hostname()}`);
  row('user', `inside ${seen.user}, outside ${outside(container.pid)}`);
  row('root', seen.root.map((name) => `/${name}`).join(' '));
  row('network', seen.interfaces.join(', ') || 'none');
  table([
    ['namespace', 'of this process', 'of the container', 'as the container sees it', ''],
    ...Object.entries(NAMES).map(([file, name]) => {
      const [own, theirs] = [number(readlinkSync(`/proc/self/ns/${file}`)), number(namespacesOutside[file])];
      return [name, own, theirs, number(seen.namespaces[file]), own === theirs ? 'shared' : 'its own'];
    }),
  ]);
  container.stdin.end();
  const { exitCode } = await container.exited;
  good(`it ended by itself with exit code ${exitCode}, when its input was closed; this process, ${process.pid}, goes on`);
}

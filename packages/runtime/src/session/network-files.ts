// Files about the network that a container of an image gets from here: names that loopback has, or the host's own answers
// where it shares the host's network. They are mounted read-only, so that nothing is written into a root (CVE-2024-5154).
import { access, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { syscallErrorFrom } from '@ctr/internal/errors';
import type { OciMount } from '../oci/types.js';

const HOSTS = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';

export interface NetworkFiles {
  /** For a network of its own. */
  readonly own: readonly OciMount[];
  /** For the host's network. */
  readonly host: readonly OciMount[];
}

const mount = (source: string, destination: string): OciMount => ({
  destination,
  type: 'bind',
  source,
  options: ['bind', 'private', 'nosuid', 'nodev', 'noexec', 'ro'],
});

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** Writes what is ours into the session's folder, once. */
export async function makeNetworkFiles(directory: string): Promise<NetworkFiles> {
  const hosts = path.join(directory, 'hosts');
  const shared = ['/etc/hosts', '/etc/resolv.conf'];
  try {
    const [, found] = await Promise.all([writeFile(hosts, HOSTS, { mode: 0o644 }), Promise.all(shared.map(exists))]);
    return { own: [mount(hosts, '/etc/hosts')], host: shared.filter((_, i) => found[i]).map((file) => mount(file, file)) };
  } catch (error) {
    throw syscallErrorFrom(error, 'write the file of host names');
  }
}

// What only this package's tests need of the host.
import { release, tmpdir } from 'node:os';
import { host, type Need, need } from '@ctr/internal/testing';
import { chooseLayerForm, openLayerWriter, probeOverlay, removeTree } from '../src/index.js';
import { archive, file } from './tar-builder.js';

const found = process.platform === 'linux' ? await probeOverlay() : undefined;
host.define('overlay-by-descriptor', { test: () => found?.mount === true, cure: `run as root on Linux 6.15 or newer (${found?.reason})` });

/** The kernel takes layers by descriptor, whoever asks: refused by its version, not for want of privilege. */
host.define('layers-by-descriptor', { test: () => kernelAtLeast(6, 15), cure: 'run on Linux 6.15 or newer' });
export const byDescriptor: Need = need('layers-by-descriptor');

// An ordinary user cannot try it outside of a user namespace, so here the version decides.
function kernelAtLeast(major: number, minor: number): boolean {
  const [a = 0, b = 0] = release().split(/[.-]/).map(Number);
  return a > major || (a === major && b >= minor);
}

/** Root of a kernel on which this process can mount an overlay itself. */
export const mountsHere: Need = need('root', 'overlay', 'overlay-by-descriptor');

/** An opaque mark of an ordinary user, set on the tmpfs that every host has. */
async function marksTmpfs(): Promise<boolean> {
  const directory = `/dev/shm/ctr-test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  try {
    await using writer = openLayerWriter(directory, { userxattr: true });
    await writer.write(archive(file('d/.wh..wh..opq', '')));
    await writer.end();
    return true;
  } catch {
    return false;
  } finally {
    await removeTree(directory);
  }
}
const marks = process.platform === 'linux' && (await marksTmpfs());
host.define('tmpfs-user-xattr', { test: () => marks, cure: 'run on Linux 6.6 or newer, where tmpfs has user.* attributes' });

/** An overlay in a user namespace whose memory upper can mark a directory as replaced. */
export const replacesInMemory: Need = need('userns', 'overlay-in-userns', 'tmpfs-user-xattr');

const choice = process.platform === 'linux' ? await chooseLayerForm(tmpdir()) : undefined;
host.define('layers-as-files', {
  test: () => choice?.form === 'erofs',
  cure: `run as root on Linux 6.15 or newer, with temporary files on a disk (${choice?.reason})`,
});

/** Root of a kernel that mounts layers in their EROFS form where tests keep them. */
export const layersAsFiles: Need = need('root', 'overlay', 'layers-as-files');

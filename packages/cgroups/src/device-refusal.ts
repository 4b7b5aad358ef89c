// What a user is told where v2's device rules cannot be: by the opened parent, by a plan and by a live change.
import { UnsupportedError } from '@ctr/internal/errors';

const REQUIRES = 'CAP_SYS_ADMIN (or CAP_BPF and CAP_NET_ADMIN) and a kernel with CONFIG_CGROUP_BPF, or v1’s devices controller';

/** @param found what stood in the way */
export const devicesRefused = (found: string, cause?: unknown): UnsupportedError =>
  new UnsupportedError('a rule for device files', REQUIRES, found, {
    cause,
    hint: 'in a user namespace leave devices out: there device nodes cannot be made, and mounts have nodev',
  });

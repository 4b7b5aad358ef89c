// The overlay made by this process, now.
import { assertLinux, errnoNumber, UnsupportedError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { NO_DESCRIPTORS, OVERLAY_SLOT, overlaySteps } from './describe-overlay.js';
import { native } from './native.js';
import { checkOverlay, type OverlayOptions } from './overlay-options.js';
import { deviceSteps } from './overlay-parts.js';
import { runSteps, type StepFailure } from './run-steps.js';

/**
 * Mounts an overlay detached and returns its descriptor: look into it by `/proc/self/fd/<fd>`, attach it with move_mount(2), or
 * close it and it is gone. The host's mount table never changes. Executes the steps of {@link describeOverlay}.
 *
 * @remarks Needs CAP_SYS_ADMIN in the user namespace of this process's mount namespace, and Linux 6.15; without them use
 * `describeOverlay` with `spawn`, which needs neither.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an option is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED when the kernel or the privileges do not suffice.
 * @throws {SyscallError} with the errno's name as code when a call fails, such as ENOENT for a layer that is not there.
 * @see https://docs.kernel.org/filesystems/overlayfs.html
 * @example
 * ```ts
 * using root = await mountOverlay({ lower: ['/layers/app', '/layers/base'] })
 * console.log(readdirSync(`/proc/self/fd/${root.fd}`))
 * ```
 */
export async function mountOverlay(options: OverlayOptions): Promise<Fd> {
  const overlay = checkOverlay(options);
  assertLinux('an overlay mount');
  return runSteps(native(), [...deviceSteps(overlay), ...overlaySteps(overlay, [])], OVERLAY_SLOT, explain);
}

const FEATURE = 'an overlay that this process mounts itself';

function explain({ step, error }: StepFailure): Error | undefined {
  const option = step.call === 'fsconfig' ? step.args[2] : undefined;
  if (option === 'lowerdir+' && NO_DESCRIPTORS.some((name) => errnoNumber(name) === -error.errno))
    return new UnsupportedError(FEATURE, 'Linux 6.15, which takes layers by descriptor', undefined, {
      cause: error,
      hint: 'describeOverlay() with spawn() works from Linux 5.11',
    });
  if (step.call !== 'fsopen' || step.args[0] !== 'overlay') return undefined;
  if (error.code === 'EPERM')
    return new UnsupportedError(FEATURE, 'CAP_SYS_ADMIN', undefined, {
      cause: error,
      hint: 'describeOverlay({ userxattr: true }) with spawn() in a new user namespace needs no privilege',
    });
  if (error.code === 'ENODEV')
    return new UnsupportedError('overlayfs', 'a kernel with overlayfs', undefined, { cause: error, hint: 'modprobe overlay' });
  return undefined;
}

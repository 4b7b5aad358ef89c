// runContainer(): the one function that most programs need.
import type { Container } from './container.js';
import { Run } from './lazy-run.js';
import { readRunOptions } from './options/read-options.js';
import type { RunOptions } from './options/run-options.js';
import type { RunSpec } from './options/run-schema.js';
import { startContainer } from './start-container.js';

/** The lazy promise of runContainer(): `await` it for the live {@link Container}, or run to the end by a shortcut. */
export type ContainerRun = Run<Container>;

/**
 * Runs a program in a container of its own: its own processes, files, network, host name and limits.
 *
 * It starts when the result is awaited or one of its shortcuts is called. `await` gives the live {@link Container} once
 * the program has been exec'ed; `result()`, `text()`, `json()`, `bytes()` and `lines()` run to the end. A non-zero exit
 * is a result. The container ends with this process, whatever ends that, and leaves nothing on the host.
 *
 * Safe unless asked otherwise: no network, eleven capabilities, no_new_privs, a system call filter, masked and read-only
 * paths in /proc and /sys, at most 1024 processes.
 *
 * @remarks Linux 5.15 or newer. Root, or a host that lets users make user namespaces; see {@link checkHost}.
 * @throws Every failure rejects the promise: InvalidArgumentError CTR_INVALID_ARGUMENT before the host is touched;
 * UnsupportedError CTR_UNSUPPORTED for what this host or user cannot have; ImageError CTR_IMAGE_*; StartError
 * CTR_START_FAILED with stage, step, errno and hint; AbortError ABORT_ERR once the kernel has confirmed the end.
 * @example
 * ```ts
 * const { stdout } = await runContainer('debian:12', ['uname', '-n']).result()
 *
 * await using box = await runContainer({ image: 'debian:12', command: ['sleep', 'infinity'], resources: { memory: '512m', cpus: 0.5 } })
 * const { exitCode } = await box.exec(['sh', '-c', 'exit 3']).result()
 * ```
 */
export function runContainer(options: RunOptions): ContainerRun;
export function runContainer(image: string, command?: readonly string[], options?: RunOptions): ContainerRun;
export function runContainer(first: string | RunOptions, command?: readonly string[], options?: RunOptions): ContainerRun {
  let spec: RunSpec;
  try {
    spec = readRunOptions(first, command, options);
  } catch (error) {
    return new Run({}, () => Promise.reject(error));
  }
  return new Run(spec, () => startContainer(spec));
}

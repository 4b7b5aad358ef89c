// The lazy promise that runContainer() and exec() return: awaited it gives the live process, its shortcuts run to the end.
import { createInterface } from 'node:readline';
import { collectOutput, DEFAULT_MAX_BUFFER, type Output } from './collect-output.js';
import type { ExecSpec } from './options/run-schema.js';
import { type ContainerResult, type ExitStatus, exitError } from './result.js';
import type { RunningProcess } from './running-process.js';

/** How much of standard error `lines()` keeps for its error message. */
const STDERR_TAIL = 65_536;

/**
 * A program that starts when it is first asked for: by `await`, or by one of the shortcuts. Bad options, a missing image
 * and every failure to start reject here, whatever is called.
 */
export class Run<T extends RunningProcess> implements PromiseLike<T> {
  readonly #start: () => Promise<T>;
  readonly #spec: Partial<ExecSpec>;
  #started: Promise<T> | undefined;
  #output: Promise<{ status: ExitStatus; output: Output; running: T; cleanup: readonly Error[] | undefined }> | undefined;

  /** @internal */
  constructor(spec: Partial<ExecSpec>, start: () => Promise<T>) {
    this.#spec = spec;
    this.#start = start;
  }

  /** @internal */
  get started(): Promise<T> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** Resolves to the live process once its program has been exec'ed. */
  // biome-ignore lint/suspicious/noThenProperty: a lazy promise is one; what it resolves to is not thenable.
  then<A = T, B = never>(
    onStarted?: ((value: T) => A | PromiseLike<A>) | null,
    onFailed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.started.then(onStarted, onFailed);
  }

  catch<B = never>(onFailed?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.started.catch(onFailed);
  }

  finally(onSettled?: (() => void) | null): Promise<T> {
    return this.started.finally(onSettled);
  }

  /**
   * Runs to the end and tells how it ended, with the output. A non-zero exit is a result, not an error. Resolves when
   * nothing of it is left on the host.
   *
   * @throws whatever the start throws; {@link MaxBufferError} CTR_MAX_BUFFER when the output is longer than `maxBuffer`.
   */
  async result(): Promise<ContainerResult> {
    const { status, output, running, cleanup } = await this.#run();
    const { encoding = 'utf8', signal } = this.#spec;
    const stderr = output.stderr.toString(encoding);
    const result: ContainerResult = {
      ...status,
      ok: status.exitCode === 0 && status.reason === 'exited',
      stdout: output.stdout.toString(encoding),
      stderr,
      command: running.command,
      ...(cleanup === undefined ? {} : { cleanup }),
      orThrow: () => {
        if (!result.ok) throw exitError(running.command, status, stderr, signal);
        return result;
      },
    };
    return result;
  }

  /** Runs to the end; standard output as text. @throws {ContainerExitError} CTR_EXIT unless it exits with 0. */
  async text(): Promise<string> {
    return (await this.result()).orThrow().stdout;
  }

  /** Runs to the end; standard output parsed as JSON. @throws {ContainerExitError} CTR_EXIT; SyntaxError. */
  async json<V = unknown>(): Promise<V> {
    return JSON.parse(await this.text()) as V;
  }

  /** Runs to the end; standard output as it is. @throws {ContainerExitError} CTR_EXIT unless it exits with 0. */
  async bytes(): Promise<Uint8Array> {
    (await this.result()).orThrow();
    return (await this.#run()).output.stdout;
  }

  /**
   * Standard output line by line, while it is written; a program that writes faster than it is read waits. Leaving the
   * loop early kills it.
   *
   * @throws {ContainerExitError} CTR_EXIT at the end unless it exits with 0.
   */
  async *lines(): AsyncGenerator<string, void, undefined> {
    const running = await this.started;
    let tail = '';
    running.stderr?.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-STDERR_TAIL);
    });
    try {
      if (running.stdout !== null) yield* createInterface({ input: running.stdout, crlfDelay: Number.POSITIVE_INFINITY });
      const status = await running.exited;
      if (status.exitCode !== 0 || status.reason !== 'exited') throw exitError(running.command, status, tail, this.#spec.signal);
    } finally {
      await running[Symbol.asyncDispose]();
    }
  }

  #run() {
    this.#output ??= this.#runOnce();
    return this.#output;
  }

  async #runOnce() {
    const running = await this.started;
    try {
      const output = await collectOutput(running, this.#spec.maxBuffer ?? DEFAULT_MAX_BUFFER);
      return { status: await running.exited, output, running, cleanup: await failuresOf(running.cleaned) };
    } catch (error) {
      await failuresOf(running.cleaned);
      throw error;
    }
  }
}

async function failuresOf(cleaned: Promise<void>): Promise<readonly Error[] | undefined> {
  try {
    await cleaned;
    return undefined;
  } catch (error) {
    return [error as Error];
  }
}

// Things to undo, in reverse order. Node 20 has the symbols of explicit resource management but not AsyncDisposableStack.
import { CleanupError, CtrError } from '@ctr/internal/errors';

type Undo = () => void | Promise<void>;

/** Filled as things are acquired; used by failure, by the end of a container and by disposal alike. */
export class CleanupStack {
  readonly #undo: Undo[] = [];

  /** Adds one thing, to be undone before all that were added earlier. */
  defer(undo: Undo): void {
    this.#undo.push(undo);
  }

  /** Keeps what was acquired: nothing is left to undo. */
  release(): void {
    this.#undo.length = 0;
  }

  /** Undoes everything, also after failures; returns these. */
  async unwind(): Promise<Error[]> {
    const errors: Error[] = [];
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      try {
        await undo();
      } catch (error) {
        errors.push(...(error instanceof CleanupError ? error.errors : [error as Error]));
      }
    }
    return errors;
  }
}

/** Attaches failures of the clean-up to the error that led to it, which they never replace. */
export function withCleanup(error: unknown, failures: readonly Error[]): unknown {
  if (failures.length > 0 && error instanceof CtrError) error.cleanup = [...(error.cleanup ?? []), ...failures];
  return error;
}

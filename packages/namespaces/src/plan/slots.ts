// Slot names to numbers. A name has the same number in every plan, so that a group of steps is encoded once; only
// when a program has used very many names are further ones numbered plan by plan.
import { InvalidArgumentError } from '@ctr/internal/errors';

/** The mirror of kMaxFds and kMaxSlots in native/init/plan.h. */
export const MAX_FDS = 64;
const MAX_SLOTS = 512;
/** From here on plan by plan. */
const FIRST_OWN = 384;

const shared = new Map<string, number>();

/** The number that the name has in every plan, or undefined when there are no more. */
export function sharedSlot(name: string): number | undefined {
  const known = shared.get(name);
  if (known !== undefined) return known;
  if (shared.size >= FIRST_OWN) return undefined;
  shared.set(name, shared.size);
  return shared.size - 1;
}

/** The slots of one plan. */
export class SlotTable {
  readonly #own = new Map<string, number>();

  index(name: string): number {
    const known = sharedSlot(name) ?? this.#own.get(name);
    if (known !== undefined) return known;
    const next = FIRST_OWN + this.#own.size;
    if (next >= MAX_SLOTS) throw new InvalidArgumentError('plan', `at most ${MAX_SLOTS - FIRST_OWN} further slots`, name);
    this.#own.set(name, next);
    return next;
  }
}

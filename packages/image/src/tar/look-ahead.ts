// Begins what comes next while what came before is used.

/**
 * Gives what `begin` makes of each item, in their order, having begun `depth` of them before the first is taken. What fails ahead is told
 * in its turn.
 */
export async function* lookAhead<T, U>(items: AsyncGenerator<T>, depth: number, begin: (item: T) => U): AsyncGenerator<U> {
  const waiting: U[] = [];
  try {
    for await (const item of items) {
      waiting.push(begin(item));
      if (waiting.length > depth) yield waiting.shift() as U;
    }
  } catch (error) {
    // What was found before the failure comes first.
    yield* waiting;
    throw error;
  }
  yield* waiting;
}

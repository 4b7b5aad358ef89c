// Finds the right spelling for a misspelled name, for the messages of InvalidArgumentError.

const FURTHEST = 3;

/** Damerau-Levenshtein distance (optimal string alignment): a swap of two neighbours counts as one mistake. */
function distance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (beforePrevious[j - 2] ?? 0) + 1);
      row.push(best);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}

/** The known name nearest to a wrong one; `undefined` when none is near enough to be meant (at most a third of its letters wrong). */
export function closestName(wrong: string, known: Iterable<string>): string | undefined {
  if (wrong.length > 100) return undefined;
  let best: string | undefined;
  let least = Math.min(FURTHEST, Math.max(1, Math.floor(wrong.length / 3))) + 1;
  for (const name of known) {
    if (Math.abs(name.length - wrong.length) >= least) continue;
    const d = distance(wrong.toLowerCase(), name.toLowerCase());
    if (d < least) [best, least] = [name, d];
  }
  return best;
}

/** ` (did you mean "hostname"?)`, or nothing: to be appended to what was expected. */
export function didYouMean(wrong: string, known: Iterable<string>): string {
  const name = closestName(wrong, known);
  return name === undefined ? '' : ` (did you mean ${JSON.stringify(name)}?)`;
}

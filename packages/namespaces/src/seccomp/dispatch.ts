// From the number of a system call to its verdict: a tree of comparisons over runs of equal verdicts.
//
// Loading a filter costs what its paths cost, because the kernel follows the program once for every number to learn which are always
// allowed (kernel/seccomp.c, seccomp_cache_prepare). So the tree is balanced by how many numbers a run holds, not by runs.
import { JMP_JEQ_K, JMP_JGE_K } from './bpf.js';
import type { Graph, Node } from './graph.js';

/** From `start` to the next run's start every number has this verdict. */
export interface Run {
  readonly start: number;
  readonly verdict: Node;
}

/** Numbers beyond this weigh nothing: the kernel tries only those it has, fewer than 512 on both architectures. */
const LAST_TRIED = 512;

/** Joins neighbours with the same verdict. Runs are in order and the first begins at 0. */
export function mergeRuns(runs: readonly Run[]): Run[] {
  return runs.filter((run, i) => i === 0 || runs[i - 1]?.verdict !== run.verdict);
}

/** Expects the number in the accumulator. */
export function dispatch(graph: Graph, runs: readonly Run[]): Node {
  const starts = runs.map((run) => run.start);
  const startOf = (i: number): number => starts[i] ?? Number.POSITIVE_INFINITY;
  const weight = (from: number, to: number): number => Math.min(startOf(to), LAST_TRIED) - Math.min(startOf(from), LAST_TRIED);
  const verdict = (i: number): Node => (runs[i] as Run).verdict;

  /** The tree for the runs from..to-1. */
  const tree = (from: number, to: number): Node => {
    if (to - from === 1) return verdict(from);
    // A single number inside a run: one test for equality instead of two for order.
    if (to - from === 3 && startOf(from + 2) === startOf(from + 1) + 1 && verdict(from) === verdict(from + 2)) {
      return graph.branch(JMP_JEQ_K, startOf(from + 1), verdict(from + 1), verdict(from));
    }
    const middle = heaviestCut(from, to, weight);
    return graph.branch(JMP_JGE_K, startOf(middle), tree(middle, to), tree(from, middle));
  };
  return tree(0, runs.length);
}

/** Where to cut the runs from..to-1 in two so that both halves hold about as many numbers. */
function heaviestCut(from: number, to: number, weight: (from: number, to: number) => number): number {
  let best = from + 1;
  let least = Number.POSITIVE_INFINITY;
  for (let cut = from + 1; cut < to; cut++) {
    const difference = Math.abs(weight(from, cut) - weight(cut, to));
    if (difference < least) [best, least] = [cut, difference];
  }
  return best;
}

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

/** Takes a single number out of the run around it, where there is one: a test for equality instead of two for order. */
function withExceptions(graph: Graph, runs: readonly Run[]): Run[] {
  const result: Run[] = [];
  for (let i = 0; i < runs.length; i++) {
    const [around, single, after] = [runs[i], runs[i + 1], runs[i + 2]] as [Run, Run | undefined, Run | undefined];
    if (single && after?.verdict === around.verdict && after.start === single.start + 1) {
      result.push({ start: around.start, verdict: graph.branch(JMP_JEQ_K, single.start, single.verdict, around.verdict) });
      i += 2;
    } else result.push(around);
  }
  return result;
}

/** Expects the number in the accumulator. */
export function dispatch(graph: Graph, runs: readonly Run[]): Node {
  const leaves = withExceptions(graph, runs);
  const startOf = (i: number): number => Math.min(leaves[i]?.start ?? LAST_TRIED, LAST_TRIED);

  /** Where to cut the leaves from..to-1 in two so that both halves hold about as many numbers. */
  const cutOf = (from: number, to: number): number => {
    const imbalance = (cut: number) => Math.abs(startOf(cut) - startOf(from) - (startOf(to) - startOf(cut)));
    let best = from + 1;
    for (let cut = best + 1; cut < to; cut++) if (imbalance(cut) < imbalance(best)) best = cut;
    return best;
  };

  /** The tree for the leaves from..to-1. */
  const tree = (from: number, to: number): Node => {
    if (to - from === 1) return (leaves[from] as Run).verdict;
    const cut = cutOf(from, to);
    return graph.branch(JMP_JGE_K, (leaves[cut] as Run).start, tree(cut, to), tree(from, cut));
  };
  return tree(0, leaves.length);
}

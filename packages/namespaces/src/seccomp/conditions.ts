// Conditions on 64-bit arguments as decision graphs: BPF compares 32 bits, so each splits into the high and the low word.
import { JMP_JEQ_K, JMP_JGE_K, JMP_JGT_K, JMP_JSET_K, offsetHigh, offsetLow } from './bpf.js';
import type { Graph, Node } from './graph.js';
import type { SeccompOperator } from './types.js';

/** A condition after validation: every number is an unsigned 64-bit bigint. */
export interface Condition {
  readonly index: number;
  readonly op: SeccompOperator;
  readonly value: bigint;
  readonly valueTwo: bigint;
  /** Only the low 32 bits count, of the argument as of the numbers: the 32-bit conventions. */
  readonly narrow: boolean;
}

const low = (value: bigint): number => Number(value & 0xffffffffn);
const high = (value: bigint): number => Number(value >> 32n);

/** Argument > value, or >= value when `code` is JMP_JGE_K. */
function greater(graph: Graph, c: Condition, code: number, yes: Node, no: Node): Node {
  const lowWord = graph.load(offsetLow(c.index), graph.branch(code, low(c.value), yes, no));
  if (c.narrow) return lowWord;
  const equal = graph.branch(JMP_JEQ_K, high(c.value), lowWord, no);
  return graph.load(offsetHigh(c.index), graph.branch(JMP_JGT_K, high(c.value), yes, equal));
}

/** (word & mask) == wanted, for one 32-bit word. */
function maskedWord(graph: Graph, offset: number, mask: number, wanted: number, yes: Node, no: Node): Node {
  if (mask === 0) return yes;
  if (wanted === 0 && mask !== 0xffffffff) return graph.load(offset, graph.branch(JMP_JSET_K, mask, no, yes));
  return graph.load(offset, graph.and(mask, graph.branch(JMP_JEQ_K, wanted, yes, no)));
}

function masked(graph: Graph, index: number, mask: bigint, wanted: bigint, yes: Node, no: Node): Node {
  const lowWord = maskedWord(graph, offsetLow(index), low(mask), low(wanted), yes, no);
  return maskedWord(graph, offsetHigh(index), high(mask), high(wanted), lowWord, no);
}

const ALL_BITS = 0xffffffffffffffffn;
const LOW_BITS = 0xffffffffn;

/** Goes to `yes` when the condition holds, else to `no`. */
export function conditionNode(graph: Graph, c: Condition, yes: Node, no: Node): Node {
  const all = c.narrow ? LOW_BITS : ALL_BITS;
  switch (c.op) {
    case 'SCMP_CMP_EQ':
      return masked(graph, c.index, all, c.value, yes, no);
    case 'SCMP_CMP_NE':
      return masked(graph, c.index, all, c.value, no, yes);
    case 'SCMP_CMP_GT':
      return greater(graph, c, JMP_JGT_K, yes, no);
    case 'SCMP_CMP_GE':
      return c.value === 0n ? yes : greater(graph, c, JMP_JGE_K, yes, no);
    case 'SCMP_CMP_LT':
      return c.value === 0n ? no : greater(graph, c, JMP_JGE_K, no, yes);
    case 'SCMP_CMP_LE':
      return greater(graph, c, JMP_JGT_K, no, yes);
    case 'SCMP_CMP_MASKED_EQ':
      // Bits of the wanted value outside the mask are ignored, as libseccomp does.
      return masked(graph, c.index, c.value, c.valueTwo & c.value, yes, no);
  }
}

// A filter as a decision graph before it becomes a program: tests with two outcomes, and answers at the ends. Equal
// parts are made once, so that rules and system calls share them.
import { JMP_JEQ_K, JMP_JSET_K } from './bpf.js';

export interface Ret {
  readonly id: number;
  readonly kind: 'ret';
  readonly value: number;
}
/** Reads a word of seccomp_data into the accumulator. */
export interface Load {
  readonly id: number;
  readonly kind: 'load';
  readonly offset: number;
  readonly next: Node;
}
/** Masks the accumulator. */
export interface And {
  readonly id: number;
  readonly kind: 'and';
  readonly mask: number;
  readonly next: Node;
}
/** Compares the accumulator by one of the four jumps of bpf.ts. */
export interface Branch {
  readonly id: number;
  readonly kind: 'branch';
  readonly code: number;
  readonly k: number;
  readonly yes: Node;
  readonly no: Node;
}
export type Node = Ret | Load | And | Branch;
type Made<T> = T extends Node ? Omit<T, 'id'> : never;

/** Makes nodes, each different one once. */
export class Graph {
  readonly #made = new Map<string, Node>();
  readonly #withoutLoad = new Map<string, Node>();

  #make(key: string, node: Made<Node>): Node {
    const before = this.#made.get(key);
    if (before) return before;
    const made = { id: this.#made.size, ...node } as Node;
    this.#made.set(key, made);
    return made;
  }

  ret(value: number): Node {
    return this.#make(`r${value}`, { kind: 'ret', value });
  }

  load(offset: number, next: Node): Node {
    const rest = this.#skipLoads(next, offset);
    return rest.kind === 'ret' ? rest : this.#make(`l${offset},${rest.id}`, { kind: 'load', offset, next: rest });
  }

  and(mask: number, next: Node): Node {
    return next.kind === 'ret' || mask === 0xffffffff ? next : this.#make(`a${mask},${next.id}`, { kind: 'and', mask, next });
  }

  branch(code: number, k: number, yes: Node, no: Node): Node {
    if (yes === no) return yes;
    // Two tests of bits of the same word with the same outcome are one test of both.
    if (code === JMP_JSET_K && no.kind === 'branch' && no.code === JMP_JSET_K && no.yes === yes)
      return this.branch(code, (k | no.k) >>> 0, yes, no.no);
    // The word cannot equal k twice: a second test for the same value is already answered.
    if (code === JMP_JEQ_K && no.kind === 'branch' && no.code === JMP_JEQ_K && no.k === k) return this.branch(code, k, yes, no.no);
    return this.#make(`b${code},${k},${yes.id},${no.id}`, { kind: 'branch', code, k, yes, no });
  }

  /** The same decisions when the accumulator already holds the word at `offset`: loads of it are left out. */
  #skipLoads(node: Node, offset: number): Node {
    if (node.kind === 'load') return node.offset === offset ? node.next : node;
    if (node.kind !== 'branch') return node;
    const key = `${offset},${node.id}`;
    const before = this.#withoutLoad.get(key);
    if (before) return before;
    const made = this.branch(node.code, node.k, this.#skipLoads(node.yes, offset), this.#skipLoads(node.no, offset));
    this.#withoutLoad.set(key, made);
    return made;
  }
}

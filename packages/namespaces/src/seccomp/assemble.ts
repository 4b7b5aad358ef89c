// Lays a decision graph out as a program. Conditional jumps reach only 255 instructions forward, so the program is built from its
// end: every target is already placed, and what has moved out of reach gets a copy (an answer) or a jump (anything else) nearby.
import { ALU_AND_K, type Instruction, JMP_JA, LD_W_ABS, RET_K } from './bpf.js';
import type { Branch, Node } from './graph.js';

/** The furthest target of a conditional jump, less the two helpers that may come between. */
const REACH = 255 - 2;

class Assembler {
  /** In reverse: the program's last instruction first. A position is an index here. */
  readonly reversed: Instruction[] = [];
  readonly #placed = new Map<Node, number>();

  #push(code: number, k: number, jt = 0, jf = 0): number {
    return this.reversed.push({ code, jt, jf, k }) - 1;
  }

  /** How far a jump that is pushed now would have to go. */
  #distance(position: number): number {
    return this.reversed.length - position - 1;
  }

  /** Where the node begins; lays it out on first use. */
  place(node: Node): number {
    const before = this.#placed.get(node);
    if (before !== undefined) return before;
    const position = this.#layOut(node);
    this.#placed.set(node, position);
    return position;
  }

  #layOut(node: Node): number {
    if (node.kind === 'ret') return this.#push(RET_K, node.value);
    if (node.kind === 'branch') return this.#branch(node);
    const next = this.place(node.next);
    if (this.#distance(next) > 0) this.#approach(node.next, next);
    return node.kind === 'load' ? this.#push(LD_W_ABS, node.offset) : this.#push(ALU_AND_K, node.mask);
  }

  #branch(node: Branch): number {
    const no = this.place(node.no);
    const yes = this.place(node.yes);
    const nearYes = this.#inReach(node.yes, yes);
    const nearNo = this.#inReach(node.no, no);
    return this.#push(node.code, node.k, this.#distance(nearYes), this.#distance(nearNo));
  }

  /** The position itself, or that of a stand-in which later jumps, being further off still, use too. */
  #inReach(node: Node, position: number): number {
    if (this.#distance(position) <= REACH) return position;
    const near = this.#approach(node, position);
    this.#placed.set(node, near);
    return near;
  }

  /** Puts a stand-in for a distant node here: the answer itself, or an unconditional jump, which reaches everywhere. */
  #approach(node: Node, position: number): number {
    return node.kind === 'ret' ? this.#push(RET_K, node.value) : this.#push(JMP_JA, this.#distance(position));
  }
}

/** The program that decides as the graph does. */
export function assemble(root: Node): Instruction[] {
  const assembler = new Assembler();
  assembler.place(root);
  return assembler.reversed.reverse();
}

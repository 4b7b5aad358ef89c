// The vocabulary in which the leaf packages describe work for the launcher: a step is one system call
// written down as data. `@ctr/namespaces` encodes and executes steps; the others only make them.

/** A register that holds a file descriptor inside the launcher, by name. */
export interface Slot {
  readonly slot: string;
}

/** A number with the text that a reader should see instead of it, such as MS_REC|MS_PRIVATE. */
export interface Named {
  readonly value: number | bigint;
  readonly text: string;
}

/** Bytes passed by pointer. `patches` put a pointer or a slot's descriptor into the bytes just before the call. */
export interface Bytes {
  readonly bytes: Uint8Array;
  /** What a reader should see, such as {RESOLVE_IN_ROOT}. */
  readonly text?: string;
  readonly patches?: readonly { readonly at: number; readonly value: Slot | Bytes | string }[];
}

/** An array of C strings that ends with a null pointer: argv and envp. */
export interface StringList {
  readonly strings: readonly string[];
  /** What a reader sees instead of the strings: an environment may hold secrets. */
  readonly text?: string;
}

/** number: by value. string: pointer to the C string. null: null pointer. */
export type Arg = number | bigint | string | null | Slot | Named | Bytes | StringList;

/** One system call as data. */
export interface Step {
  /** The syscall's own name, or one of the launcher's few composite operations ('remove_tree', 'report_file'). */
  readonly call: string;
  readonly args: readonly Arg[];
  /** The slot that takes the descriptor which the call returns. */
  readonly into?: string;
  /** Errnos that are no failure, such as EEXIST of mkdir. */
  readonly allow?: readonly string[];
  /** How many of the following steps to leave out after an allowed errno. */
  readonly skipOnAllowed?: number;
  /** How many of the following steps to leave out after success. */
  readonly skipOnSuccess?: number;
  /** What this step is for, in words for an error message: 'mount /proc'. */
  readonly doing?: string;
  /** The path that an error should name when it is not among the arguments. */
  readonly path?: string;
}

export const slot = (name: string): Slot => ({ slot: name });
export const named = (value: number | bigint, text: string): Named => ({ value, text });

/** Names the bits of a flag word: named(0x3, 'MS_RDONLY|MS_NOSUID'); 0 when there are none. */
export function flags(table: Readonly<Record<string, number>>, names: readonly string[]): Named {
  let value = 0n;
  for (const n of names) {
    const bit = table[n];
    if (bit === undefined) throw new TypeError(`unknown flag ${n}`);
    value |= BigInt(bit);
  }
  return { value, text: names.length > 0 ? names.join('|') : '0' };
}

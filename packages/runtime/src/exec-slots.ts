// Processes that wait in a container for the next exec(): the option `execSlots`.
import type { ContainerProcess, EnterTemplate, ParkedProcess, StartOptions } from '@ctr/namespaces';

/** Since whoever runs a program may be about to run the next. */
const REST_MS = 2;
/** With each loss in a row the rest is ten times as long, this often: 2 s. */
const MOST_LOSSES = 3;

const UNSUPPORTED = 'CTR_UNSUPPORTED';
const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;
const errnoOf = (error: unknown): unknown => (error as { errno?: unknown }).errno;
const EAGAIN = -11;
const ETIMEDOUT = -110;

interface Slot {
  /** What it was made by. */
  readonly kind: EnterTemplate;
  readonly parked: ParkedProcess;
}

/**
 * Keeps processes of the kinds that were started last, one for each of the last few starts. They are made when nothing is being started; a
 * start that finds none goes its usual way, and so does one whose process was lost: ended, stopped or frozen by somebody inside.
 */
export class ExecSlots {
  readonly #most: number;
  /** The kinds of the last starts, the latest last; all the same at first. */
  readonly #wanted: EnterTemplate[] = [];
  #slots: Slot[] = [];
  /** What cannot be parked: it has something of its own at each start, or its filter would not let it go on. */
  readonly #unfit = new WeakSet<EnterTemplate>();
  #rest: NodeJS.Timeout | undefined;
  /** Starts on their way. */
  #starting = 0;
  #filling = false;
  #losses = 0;
  #closed = false;

  constructor(target: ContainerProcess, most: number) {
    this.#most = most;
    void target.exited.then(() => this.#close());
  }

  /** As `template.enter(start)`, in a process that `kind` made and that waits for it, where there is one. `start` says its streams. */
  async enter(kind: EnterTemplate, template: EnterTemplate, start: StartOptions): Promise<ContainerProcess> {
    this.#starting++;
    this.#want(kind);
    try {
      const slot = this.#take(kind);
      return await (slot === undefined ? this.#enterUsual(template, start) : this.#enterSlot(slot, template, start));
    } finally {
      this.#starting--;
      this.#later();
    }
  }

  async #enterSlot(slot: Slot, template: EnterTemplate, start: StartOptions): Promise<ContainerProcess> {
    const { parked } = slot;
    try {
      const process = await parked.enter(start);
      this.#losses = 0;
      return process;
    } catch (error) {
      if (parked.ready) this.#slots.push(slot);
      if (start.signal?.aborted) throw error;
      // Nothing was run. What is wrong with the program the usual way says too; if nothing is, the process was.
      if (errnoOf(error) === ETIMEDOUT) void this.#drop(() => true);
      const process = await this.#enterUsual(template, start);
      if (!parked.ready) this.#lose();
      return process;
    }
  }

  /** Once more when there was no room for a further process, and those that wait took it. */
  async #enterUsual(template: EnterTemplate, start: StartOptions): Promise<ContainerProcess> {
    try {
      return await template.enter(start);
    } catch (error) {
      if (errnoOf(error) !== EAGAIN || this.#slots.length === 0) throw error;
      this.#lose();
      await this.#drop(() => true);
      return template.enter(start);
    }
  }

  #want(kind: EnterTemplate): void {
    if (this.#wanted.length === 0) this.#wanted.push(...Array.from({ length: this.#most }, () => kind));
    this.#wanted.shift();
    this.#wanted.push(kind);
  }

  #take(kind: EnterTemplate): Slot | undefined {
    this.#forgetEnded();
    const at = this.#slots.findIndex((slot) => slot.kind === kind);
    return at < 0 ? undefined : this.#slots.splice(at, 1)[0];
  }

  #forgetEnded(): void {
    const before = this.#slots.length;
    this.#slots = this.#slots.filter(({ parked }) => parked.ready);
    if (this.#slots.length < before) this.#lose();
  }

  #lose(): void {
    this.#losses = Math.min(this.#losses + 1, MOST_LOSSES);
  }

  /** Resolves when they are gone. */
  async #drop(which: (slot: Slot) => boolean): Promise<void> {
    const going = this.#slots.filter(which);
    this.#slots = this.#slots.filter((slot) => !going.includes(slot));
    // What could not be cleaned up after one is the container's to tell: nobody waits for this one.
    await Promise.allSettled(going.map(({ parked }) => parked[Symbol.asyncDispose]()));
  }

  #close(): void {
    this.#closed = true;
    clearTimeout(this.#rest);
    void this.#drop(() => true);
  }

  /** Fills what is empty once it is quiet. Node may end before. */
  #later(): void {
    clearTimeout(this.#rest);
    if (this.#closed || this.#starting > 0) return;
    this.#rest = setTimeout(() => void this.#fill(), REST_MS * 10 ** this.#losses).unref();
  }

  /** The kinds of which there are too few, after what there is too much of has gone. */
  #missing(): EnterTemplate | undefined {
    const missing = this.#wanted.filter((kind) => !this.#unfit.has(kind));
    const surplus = new Set<Slot>();
    for (const slot of this.#slots) {
      const at = missing.indexOf(slot.kind);
      if (at < 0) surplus.add(slot);
      else missing.splice(at, 1);
    }
    void this.#drop((slot) => surplus.has(slot));
    return missing.at(-1);
  }

  /** One after the other, and no further when somebody starts something. */
  async #fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    try {
      this.#forgetEnded();
      for (let kind = this.#missing(); kind !== undefined && !this.#isBusy(); kind = this.#missing()) {
        if (!(await this.#park(kind))) break;
      }
    } finally {
      this.#filling = false;
    }
  }

  #isBusy(): boolean {
    return this.#closed || this.#starting > 0;
  }

  /** False when it is better to wait for a while. */
  async #park(kind: EnterTemplate): Promise<boolean> {
    try {
      const parked = await kind.park();
      this.#slots.push({ kind, parked });
      if (this.#closed) void this.#drop(() => true);
      return true;
    } catch (error) {
      if (codeOf(error) === UNSUPPORTED) {
        this.#unfit.add(kind);
        return true;
      }
      // No room for a further process, or the container is ending: whoever starts something next is told.
      this.#lose();
      return false;
    }
  }
}

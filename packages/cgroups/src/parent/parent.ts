// The cgroup below which all others are made: what it knows makes describing the next one free of system calls.
import type { Step } from '@ctr/internal/steps';
import type { CgroupHost } from '../host/detect.js';
import { removalStep } from '../plan/steps.js';
import { removeTrees } from '../remove.js';

/** One directory of the parent: a v1 hierarchy, or cgroup2. */
export interface ParentHierarchy {
  readonly version: 1 | 2;
  /** What it controls, by the kernel's names. */
  readonly controllers: readonly string[];
  /** The parent's directory in it. */
  readonly directory: string;
  /** v1 devices: the directory below it whose children have the default device rules. */
  readonly defaultDevices?: string;
  /** The names of its control files: what this kernel can limit. */
  readonly files: ReadonlySet<string>;
}

/** @internal What {@link openParent} found and made. */
export interface ParentFacts {
  readonly name: string;
  readonly host: CgroupHost;
  readonly hierarchies: readonly ParentHierarchy[];
  readonly missing: Readonly<Record<string, string>>;
  readonly cpus: ReadonlySet<number> | null;
  readonly mems: ReadonlySet<number> | null;
  /** Undoes what was done beside making directories. */
  readonly restore?: () => Promise<void>;
}

/**
 * A cgroup of our own, in each hierarchy that we may write, that holds no processes but other cgroups. Made by
 * {@link openParent}; several processes may have the same one open. It also remembers what this kernel can limit.
 */
export class CgroupParent {
  readonly name: string;
  /** The host as it was found. */
  readonly host: CgroupHost;
  /** The directories, one for each hierarchy; empty when this user may make no cgroups. */
  readonly hierarchies: readonly ParentHierarchy[];
  /** Controllers that cannot be used, and why. */
  readonly missing: Readonly<Record<string, string>>;
  /** @internal CPUs and memory nodes that a child may be given; null when there is no cpuset controller. */
  readonly cpus: ReadonlySet<number> | null;
  /** @internal */
  readonly mems: ReadonlySet<number> | null;
  readonly #restore: (() => Promise<void>) | undefined;

  /** @internal Use {@link openParent}. */
  constructor(facts: ParentFacts) {
    this.name = facts.name;
    this.host = facts.host;
    this.hierarchies = facts.hierarchies;
    this.missing = facts.missing;
    this.cpus = facts.cpus;
    this.mems = facts.mems;
    this.#restore = facts.restore;
  }

  /** False when this user may make no cgroups at all: then only a process without limits, in no cgroup of its own, is possible. */
  get usable(): boolean {
    return this.hierarchies.length > 0;
  }

  /** The hierarchy of a controller, or of 'unified'. Undefined when it cannot be used. */
  hierarchyOf(controller: string): ParentHierarchy | undefined {
    return this.hierarchies.find((h) => (controller === 'unified' ? h.version === 2 : h.controllers.includes(controller)));
  }

  /** All directories, those inside others first: the order in which they can be removed. */
  get directories(): readonly string[] {
    return this.hierarchies.flatMap((h) => (h.defaultDevices === undefined ? [h.directory] : [h.defaultDevices, h.directory]));
  }

  /** The steps that remove it, for a plan's clean-up; they fail with EBUSY while cgroups are left in it. */
  describeRemove(): Step[] {
    return this.directories.map((d) => removalStep(d, `remove the cgroup ${d}`));
  }

  /**
   * Removes it. What is gone already is fine; controllers that were enabled above it stay enabled, since others may use them.
   *
   * @throws {CleanupError} CTR_CLEANUP_FAILED when cgroups or processes are left in it
   */
  async remove(): Promise<void> {
    await removeTrees(this.directories, `the cgroup parent ${JSON.stringify(this.name)}`, { nested: false });
    await this.#restore?.();
  }

  /** The same as {@link remove}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }
}

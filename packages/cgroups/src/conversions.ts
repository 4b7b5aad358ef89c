// From one version's numbers to the other's, as the OCI runtimes do it. See docs/decisions/0006.

/** The bounds of cpu.shares: MIN_SHARES and MAX_SHARES in kernel/sched/sched.h. */
const LEAST_SHARES = 2;
const MOST_SHARES = 262_144;

const within = (least: number, n: number, most: number): number => Math.max(least, Math.min(most, n));

/**
 * v2's weight for v1's shares, as runc 1.3.2, crun 1.23 and later have it: a curve through the ends of both ranges and
 * through both defaults, 1024 and 100, quadratic in the logarithms. (The straight line of before made 39 of 1024.)
 *
 * @see {@link https://github.com/opencontainers/cgroups/pull/20}
 */
export function weightFromShares(shares: number): number {
  if (shares <= LEAST_SHARES) return 1;
  if (shares >= MOST_SHARES) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

/**
 * v1's shares for v2's weight. Not the curve backwards: a weight is a proportion, twice the weight is twice the time, and
 * the scheduler itself takes weight * 1024 / 100 (sched_weight_from_cgroup in kernel/sched/sched.h). So the numbers say on
 * v1 what they say on v2.
 */
export const sharesFromWeight = (weight: number): number => within(LEAST_SHARES, Math.round((weight * 1024) / 100), MOST_SHARES);

/** io.weight for v1's blkio.weight: [10, 1000] to [1, 10000] in a straight line, rounded down; runc's ConvertBlkIOToIOWeightValue. */
export const ioWeightFromBlkio = (weight: number): number => 1 + Math.floor(((weight - 10) * 9999) / 990);

/** blkio.weight for v2's io.weight: the same line backwards. */
export const blkioFromIoWeight = (weight: number): number => within(10, Math.round(10 + ((weight - 1) * 990) / 9999), 1000);

/**
 * io.bfq.weight for io.weight: both have 100 as default, and BFQ ends at 1000. As systemd has it (BFQ_WEIGHT in
 * src/shared/cgroup-setup.h): the same up to 100, above that in a straight line.
 */
export const bfqFromIoWeight = (weight: number): number => (weight <= 100 ? weight : 100 + Math.floor(((weight - 100) * 900) / 9900));

/** OCI's and v1's swap is memory and swap together; ours and v2's is swap alone. Null: no limit. Undefined: not asked for. */
export function swapFromSum(sum: number | undefined, memory: number | undefined): number | null | undefined {
  if (sum === undefined || sum === 0) return memory === -1 ? null : undefined;
  if (sum === -1) return null;
  return memory === undefined || memory <= 0 ? sum : sum - memory;
}

// How slow this machine is: the emulated one of `pnpm test:vm` says it in CTR_SLOWNESS.

/** 1 on a usual machine; 10 where everything takes about ten times as long. */
export const slowness = Math.max(1, Number(process.env['CTR_SLOWNESS'] ?? 1) || 1);

/** How often a test that looks for leaks or races repeats: `usual` times, fewer where the machine is slow, but at least 5 times. */
export const rounds = (usual: number): number => Math.min(usual, Math.max(5, Math.ceil(usual / slowness)));

// How much one layer may cost. Beyond it extraction ends with CTR_IMAGE_LIMIT and nothing of the layer remains.
import { checkCount, checkObject } from './check-options.js';

/** Limits of {@link openLayerWriter}; `undefined` means the default. */
export interface LayerLimits {
  /** Files, directories, links and so on, parents that the archive left out included. Default 2,000,000. */
  entries?: number | undefined;
  /** Bytes of the uncompressed tar stream. Default 64 GiB. */
  bytes?: number | undefined;
  /** Bytes of a name or of a link's target. Default 4095, which is also the kernel's limit. */
  pathBytes?: number | undefined;
  /** Components of a name. Default 512. */
  depth?: number | undefined;
  /** Bytes of one extended header. Default 1 MiB. */
  headerBytes?: number | undefined;
  /** Extended attributes of one entry. Default 128. */
  xattrs?: number | undefined;
  /** Bytes of one extended attribute. Default 65,536, the kernel's limit. */
  xattrValueBytes?: number | undefined;
}

const DEFAULTS: Required<{ [K in keyof LayerLimits]: number }> = {
  entries: 2_000_000,
  bytes: 64 * 2 ** 30,
  pathBytes: 4095,
  depth: 512,
  headerBytes: 2 ** 20,
  xattrs: 128,
  xattrValueBytes: 65_536,
};

/** In the order of struct Limits, native/src/layer_limits.h. @throws {InvalidArgumentError} */
export function limitList(limits: LayerLimits | undefined): number[] {
  const keys = Object.keys(DEFAULTS) as (keyof LayerLimits)[];
  if (limits !== undefined) checkObject(limits, 'limits', keys);
  return keys.map((key) => {
    const value = limits?.[key] ?? (DEFAULTS[key] as number);
    checkCount(value, `limits.${key}`, key === 'entries' || key === 'depth' || key === 'xattrs' ? 'entries' : 'bytes');
    return value;
  });
}

// Platforms: which image of an index runs here.
import { endianness } from 'node:os';
import { ImageError, InvalidArgumentError } from '@ctr/internal/errors';

/** Operating system and processor, in Go's names as the OCI specifications use them. */
export interface Platform {
  /** `linux`. */
  readonly os: string;
  /** `amd64`, `arm64`, `arm`, `386`, `ppc64le`, `riscv64`, `s390x` … */
  readonly architecture: string;
  /** `v8`, `v7` …; `undefined` when the image does not say. */
  readonly variant: string | undefined;
}

const GO_ARCH: Record<string, string> = {
  x64: 'amd64',
  ia32: '386',
  loong64: 'loong64',
  mips: 'mips',
  mipsel: 'mipsle',
  riscv64: 'riscv64',
};

/** The platform that this machine runs. */
export function hostPlatform(arch: string = process.arch): Platform {
  const little = endianness() === 'LE';
  const architecture = arch === 'ppc64' && little ? 'ppc64le' : (GO_ARCH[arch] ?? arch);
  return normalizePlatform({ os: 'linux', architecture, variant: undefined });
}

/**
 * Parses `linux/arm64` or `linux/arm/v7`.
 *
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when it has another form or another operating system than linux.
 */
export function parsePlatform(text: string, path = 'platform'): Platform {
  const match = typeof text === 'string' ? /^(linux)\/([a-z0-9]{1,20})(?:\/([a-z0-9.]{1,20}))?$/.exec(text) : null;
  if (match === null) throw new InvalidArgumentError(path, 'a platform like "linux/amd64" or "linux/arm/v7"', text);
  return normalizePlatform({ os: match[1] as string, architecture: match[2] as string, variant: match[3] });
}

/** `linux/arm/v7` of a platform. */
export const formatPlatform = (p: Platform): string => [p.os, p.architecture, ...(p.variant ? [p.variant] : [])].join('/');

/** The default variants, so that two spellings of one platform compare equal: arm64 is arm64/v8, arm is arm/v7. */
export function normalizePlatform(p: Platform): Platform {
  const architecture =
    { x86_64: 'amd64', 'x86-64': 'amd64', aarch64: 'arm64', i386: '386', armhf: 'arm' }[p.architecture] ?? p.architecture;
  const variant = p.variant === '' ? undefined : p.variant;
  if (architecture === 'arm64') return { os: p.os, architecture, variant: variant === undefined || variant === '8' ? 'v8' : variant };
  if (architecture === 'arm') return { os: p.os, architecture, variant: variant === undefined ? 'v7' : variant.replace(/^(\d)$/, 'v$1') };
  if (architecture === 'amd64' && variant === 'v1') return { os: p.os, architecture, variant: undefined };
  return { os: p.os, architecture, variant };
}

/** Variants that run on `wanted`, best first: a newer processor of the families below also runs what was built for the older ones. */
function runnableVariants(wanted: Platform): (string | undefined)[] {
  const number = Number(/^v(\d+)$/.exec(wanted.variant ?? '')?.[1]);
  const down = (from: number, to: number): string[] => Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => `v${from - i}`);
  if (wanted.architecture === 'arm' && number <= 8) return down(number, 5);
  if (wanted.architecture === 'amd64' && number <= 9) return [...down(number, 2), undefined];
  if (wanted.architecture === 'arm64' && number >= 8 && number <= 9) return down(number, 8);
  return [wanted.variant];
}

/** How well a platform suits: 0 is best, `undefined` does not run. */
export function platformRank(have: Platform, wanted: Platform): number | undefined {
  const candidate = normalizePlatform(have);
  if (candidate.os !== wanted.os || candidate.architecture !== wanted.architecture) return undefined;
  const rank = runnableVariants(wanted).indexOf(candidate.variant);
  return rank < 0 ? undefined : rank;
}

/** The entry that suits best; the first of equals. Entries without a platform, and `unknown/unknown` (attestations), never suit. */
export function selectPlatform<T extends { platform: Platform | undefined }>(entries: readonly T[], wanted: Platform): T | undefined {
  const ranked = entries.flatMap((entry) => {
    const rank = entry.platform === undefined ? undefined : platformRank(entry.platform, wanted);
    return rank === undefined ? [] : [{ entry, rank }];
  });
  return ranked.sort((a, b) => a.rank - b.rank)[0]?.entry;
}

/** The error for an image that has nothing for this platform: it names what there is. */
export function platformError(reference: string, wanted: Platform, have: readonly (Platform | undefined)[]): ImageError {
  const real = have.filter((p): p is Platform => p !== undefined && p.os !== 'unknown');
  const names = [...new Set(real.map(formatPlatform))].sort();
  const shown = names.slice(0, 20).join(', ') + (names.length > 20 ? ` and ${names.length - 20} more` : '');
  return new ImageError(
    'CTR_IMAGE_PLATFORM',
    `image ${reference} is not made for ${formatPlatform(wanted)}: it has ${shown || 'no platform at all'}`,
    { reference },
    { hint: 'choose a tag that has this platform, or ask for another with the platform option' },
  );
}

// The kernel's 41 capabilities: names, numbers, masks, and the bytes that capset(2) takes.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';

/**
 * Every capability of Linux 5.9 and newer, in the order of their numbers: the index is the number.
 * @see <https://man7.org/linux/man-pages/man7/capabilities.7.html>
 */
export const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

/** The name of a capability as the kernel and OCI write it. */
export type CapabilityName = (typeof CAPABILITIES)[number];

/**
 * What root in a container gets unless asked otherwise: enough for package managers and servers, nothing that reaches the
 * host. These are podman's eleven; Docker's default adds MKNOD, NET_RAW and AUDIT_WRITE.
 */
export const DEFAULT_CAPABILITIES: readonly CapabilityName[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

const NUMBERS: ReadonlyMap<string, number> = new Map(CAPABILITIES.map((name, number) => [name, number]));
const SHORT_NAMES: readonly string[] = CAPABILITIES.map((name) => name.slice('CAP_'.length));

/**
 * One capability from what people write: 'CAP_NET_RAW', 'NET_RAW' or 'net_raw'.
 * @param path where the value stands in the options, for the message.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for anything else, with the right spelling when one is near.
 * @example parseCapability('chown') // 'CAP_CHOWN'
 */
export function parseCapability(value: unknown, path = 'capability'): CapabilityName {
  if (typeof value !== 'string') throw new InvalidArgumentError(path, "a capability such as 'CAP_NET_RAW' or 'net_raw'", value);
  const upper = value.toUpperCase();
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (NUMBERS.has(full)) return full as CapabilityName;
  const known = upper.startsWith('CAP_') ? CAPABILITIES : SHORT_NAMES;
  throw new InvalidArgumentError(path, `a capability such as 'CAP_NET_RAW' or 'net_raw'${didYouMean(upper, known)}`, value);
}

function parseList(value: unknown, path: string): { all: boolean; names: Set<CapabilityName> } {
  const list = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list)) throw new InvalidArgumentError(path, "a list of capabilities, or 'all'", value);
  const names = new Set<CapabilityName>();
  let all = false;
  for (const [i, item] of list.entries()) {
    if (typeof item === 'string' && item.toUpperCase() === 'ALL') all = true;
    else names.add(parseCapability(item, typeof value === 'string' ? path : `${path}[${i}]`));
  }
  return { all, names };
}

const inOrder = (names: ReadonlySet<string>): CapabilityName[] => CAPABILITIES.filter((name) => names.has(name));

/** Capabilities by difference from a base, as `docker run --cap-add --cap-drop` takes them. */
export interface CapabilityChoice {
  /** Names, 'all', or a list with 'ALL' in it; `undefined` adds none. */
  add?: readonly string[] | string | undefined;
  /** Names, 'all', or a list with 'ALL' in it; `undefined` drops none. 'all' leaves exactly what `add` names. */
  drop?: readonly string[] | string | undefined;
}

/**
 * The capabilities that a choice leaves, in the kernel's order and each once.
 * `add: 'all'` gives all except those dropped by name, `drop: 'all'` only those added by name.
 * @param base what is added to and dropped from; `undefined` means DEFAULT_CAPABILITIES.
 * @param path where the choice stands in the options, for messages.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown name, and for a name (or 'all') both added and dropped.
 * @example chooseCapabilities({ add: ['net_raw'], drop: ['chown'] })
 */
export function chooseCapabilities(
  choice: CapabilityChoice,
  base: readonly string[] = DEFAULT_CAPABILITIES,
  path = 'capabilities',
): CapabilityName[] {
  const add = parseList(choice.add ?? [], `${path}.add`);
  const drop = parseList(choice.drop ?? [], `${path}.drop`);
  const twice = add.all && drop.all ? 'ALL' : inOrder(add.names).find((name) => drop.names.has(name));
  if (twice !== undefined) throw new InvalidArgumentError(`${path}.drop`, 'free of what add names', twice);
  let start: readonly string[] = base.map((name) => parseCapability(name, path));
  if (add.all) start = CAPABILITIES;
  if (drop.all) start = [];
  return inOrder(new Set([...start.filter((name) => !drop.names.has(name as CapabilityName)), ...add.names]));
}

/**
 * The set of capabilities as one number, bit n for capability n.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown name.
 * @example capabilityMask(['CAP_CHOWN', 'CAP_KILL']) // 0x21n
 */
export function capabilityMask(names: readonly string[], path = 'capabilities'): bigint {
  let mask = 0n;
  for (const [i, name] of names.entries()) mask |= 1n << BigInt(NUMBERS.get(parseCapability(name, `${path}[${i}]`)) as number);
  return mask;
}

/** The names in a mask, such as `CapEff` of /proc/self/status; bits of a newer kernel are left out. */
export function capabilitiesOf(mask: bigint): CapabilityName[] {
  return CAPABILITIES.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n);
}

/** The three sets that capset(2) replaces together. */
export interface ThreadCapabilities {
  effective: readonly string[];
  permitted: readonly string[];
  inheritable: readonly string[];
}

/** All five sets of a process, as OCI's `process.capabilities` names them. */
export interface CapabilitySets extends ThreadCapabilities {
  /** The upper limit over execve. */
  bounding: readonly string[];
  /** Kept over execve of an ordinary file by an ordinary user. */
  ambient: readonly string[];
}

/**
 * Checks that the kernel can hold the five sets together: effective within permitted, ambient within permitted and inheritable.
 * @returns the sets with their names in full, in order and each once.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT naming the first capability that does not fit.
 * @see <https://man7.org/linux/man-pages/man7/capabilities.7.html>, "Thread capability sets"
 */
export function checkCapabilitySets(sets: CapabilitySets, path = 'capabilities'): { [K in keyof CapabilitySets]: CapabilityName[] } {
  const read = (key: keyof CapabilitySets) => inOrder(new Set(sets[key].map((name, i) => parseCapability(name, `${path}.${key}[${i}]`))));
  const [effective, permitted, inheritable] = [read('effective'), read('permitted'), read('inheritable')];
  const [bounding, ambient] = [read('bounding'), read('ambient')];
  const within = (key: string, inner: CapabilityName[], outerKey: string, outer: CapabilityName[]) => {
    const extra = inner.find((name) => !outer.includes(name));
    if (extra !== undefined) throw new InvalidArgumentError(`${path}.${key}`, `within ${path}.${outerKey}`, extra);
  };
  within('effective', effective, 'permitted', permitted);
  within('ambient', ambient, 'permitted', permitted);
  within('ambient', ambient, 'inheritable', inheritable);
  return { effective, permitted, inheritable, bounding, ambient };
}

/** _LINUX_CAPABILITY_VERSION_3: 64-bit sets, since Linux 2.6.26. */
const CAPABILITY_VERSION_3 = 0x20080522;

/**
 * The two arguments of capset(2) for the calling thread: the header and two words of each set, low words first.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown name.
 * @see <https://man7.org/linux/man-pages/man2/capset.2.html>
 */
export function encodeCapset(sets: ThreadCapabilities): { header: Uint8Array; data: Uint8Array } {
  const header = new DataView(new ArrayBuffer(8));
  header.setUint32(0, CAPABILITY_VERSION_3, true); // the second word is pid 0: the caller itself
  const data = new DataView(new ArrayBuffer(24));
  for (const [i, key] of (['effective', 'permitted', 'inheritable'] as const).entries()) {
    const mask = capabilityMask(sets[key], `capabilities.${key}`);
    data.setUint32(4 * i, Number(mask & 0xffffffffn), true);
    data.setUint32(12 + 4 * i, Number(mask >> 32n), true);
  }
  return { header: new Uint8Array(header.buffer), data: new Uint8Array(data.buffer) };
}

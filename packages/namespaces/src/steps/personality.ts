// Which system a program believes to run on: personality(2), OCI's `linux.personality`.
import { flags, named, type Step } from '@ctr/internal/steps';

export const PERSONALITY_DOMAINS: Readonly<Record<string, number>> = { LINUX: 0, LINUX32: 8 };

export const PERSONALITY_FLAGS: Readonly<Record<string, number>> = {
  UNAME26: 0x20000,
  ADDR_NO_RANDOMIZE: 0x40000,
  FDPIC_FUNCPTRS: 0x80000,
  MMAP_PAGE_ZERO: 0x100000,
  ADDR_COMPAT_LAYOUT: 0x200000,
  READ_IMPLIES_EXEC: 0x400000,
  ADDR_LIMIT_32BIT: 0x800000,
  SHORT_INODE: 0x1000000,
  WHOLE_SECONDS: 0x2000000,
  STICKY_TIMEOUTS: 0x4000000,
  ADDR_LIMIT_3GB: 0x8000000,
};

/** OCI's `linux.personality`. */
export interface Personality {
  /** 'LINUX', or 'LINUX32': uname(2) then tells a 32-bit machine. */
  domain: string;
  /** Such as 'ADDR_NO_RANDOMIZE'. */
  flags?: readonly string[];
}

export function setPersonality(p: Personality): Step {
  const word = flags({ ...PERSONALITY_DOMAINS, ...PERSONALITY_FLAGS }, [p.domain, ...(p.flags ?? [])]);
  return { call: 'personality', args: [named(word.value, word.text)], doing: `set the personality ${p.domain}` };
}

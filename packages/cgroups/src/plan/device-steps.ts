// v2's device rules for a launcher: bpf(2) loads the program and puts it on the directory, before there is a process in it.
import { named, type Step, slot } from '@ctr/internal/steps';
import { compileDevices } from '../controllers/device-program.js';
import type { FullDeviceRule } from '../controllers/device-rules.js';

const PROGRAM = 'cg.devices.program';
const BPF_PROG_LOAD = named(5, 'BPF_PROG_LOAD');
const BPF_PROG_ATTACH = named(8, 'BPF_PROG_ATTACH');
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
/** Every program on the way up has to agree, so nothing that is attached further down can widen it. */
const BPF_F_ALLOW_MULTI = 2;

/** By this name createCgroup()'s update knows a program of ours again; the mirror of native/src/device_program.cc. */
const NAME = 'ctr_devices';

/** union bpf_attr, the part of BPF_PROG_LOAD up to prog_name. */
const LOAD = { size: 64, insnCnt: 4, insns: 8, license: 16, name: 48 } as const;
/** And of BPF_PROG_ATTACH up to attach_flags. */
const ATTACH = { size: 16, targetFd: 0, programFd: 4, type: 8, flags: 12 } as const;
/** struct bpf_insn */
const INSTRUCTION_SIZE = 8;

function loadAttributes(program: Uint8Array): Buffer {
  const attr = Buffer.alloc(LOAD.size);
  attr.writeUInt32LE(BPF_PROG_TYPE_CGROUP_DEVICE, 0);
  attr.writeUInt32LE(program.length / INSTRUCTION_SIZE, LOAD.insnCnt);
  attr.write(NAME, LOAD.name);
  return attr;
}

function attachAttributes(): Buffer {
  const attr = Buffer.alloc(ATTACH.size);
  attr.writeUInt32LE(BPF_CGROUP_DEVICE, ATTACH.type);
  attr.writeUInt32LE(BPF_F_ALLOW_MULTI, ATTACH.flags);
  return attr;
}

/** For the directory that the slot `cgroup` holds. */
export function deviceProgramSteps(rules: readonly FullDeviceRule[], cgroup: string, directory: string): Step[] {
  const program = compileDevices(rules);
  const doing = 'limit devices by a program';
  const load = {
    bytes: loadAttributes(program),
    text: `{${program.length / INSTRUCTION_SIZE} instructions}`,
    patches: [
      { at: LOAD.insns, value: { bytes: program } },
      { at: LOAD.license, value: 'MIT' },
    ],
  };
  const attach = {
    bytes: attachAttributes(),
    text: '{BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI}',
    patches: [
      { at: ATTACH.targetFd, value: slot(cgroup) },
      { at: ATTACH.programFd, value: slot(PROGRAM) },
    ],
  };
  return [
    { call: 'bpf', args: [BPF_PROG_LOAD, load, LOAD.size], into: PROGRAM, doing },
    { call: 'bpf', args: [BPF_PROG_ATTACH, attach, ATTACH.size], doing, path: directory },
    { call: 'close', args: [slot(PROGRAM)], doing },
  ];
}

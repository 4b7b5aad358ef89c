// The test machine itself: how qemu is started, and that it ends when we do.
import { spawn } from 'node:child_process';
import { openSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { step } from '../progress.mjs';
import { find } from '../tools.mjs';

/** Bytes; the file is sparse and as large as what was written to it. */
const DISK = 16 * 2 ** 30;

/** An empty ext4 file system in a sparse file: upper directories of overlayfs need a real one. */
export async function makeDisk(file) {
  openSync(file, 'w', 0o600);
  truncateSync(file, DISK);
  // Without a journal: the disk does not outlive the machine.
  // In /sbin, which ordinary users may lack in their PATH.
  await step('make its disk', find('mke2fs'), ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-E', 'lazy_itable_init=1,nodiscard', file]);
}

/**
 * Emulation works everywhere. KVM is 20 times as fast where it works (CTR_VM_ACCEL=kvm), but a virtual machine may show a /dev/kvm
 * under which a stock kernel hangs, so it is never chosen by itself.
 */
const accelerator = () => process.env.CTR_VM_ACCEL ?? 'tcg,thread=multi';

/**
 * For the kernel: no defences that only cost time here, only those security modules that a test asks, no waiting for grace periods of RCU,
 * which take longest under emulation, and a clock that is read without asking qemu.
 * What counts most is `norandmaps`: programs at the same addresses are translated once, not in each process. 30 times fork and exec of
 * /bin/true take 0.5 s with it and 6 s without; the host's kernel has addresses at random.
 * The next is to copy and clear memory by words: `rep movsb`, the way of choice where the processor says ERMS, goes byte by byte here.
 */
const KERNEL = [
  ...['console=ttyS0', 'quiet', 'panic=-1', 'psi=1', 'rcupdate.rcu_expedited=1', 'lsm=landlock,yama,apparmor,bpf', 'audit=0'],
  ...['mitigations=off', 'nosmap', 'nosmep', 'nopcid', 'no5lvl'],
  ...['init_on_alloc=0', 'hardened_usercopy=off', 'randomize_kstack_offset=off', 'norandmaps'],
  ...['clearcpuid=rep_good,erms,fsrm', 'transparent_hugepage=never', 'tsc=reliable', 'clocksource=tsc'],
];

/** All that qemu can emulate but two: ERMS (above), and PKU, whose every use flushes the translated addresses. */
const PROCESSOR = 'max,-erms,-pku';

/** The arguments of qemu. `folder` is the folder with share/, disk.img, initramfs.cpio; console.log goes there unless a shell wants the terminal. */
function qemuArguments({ kernel, folder, shell }) {
  const shared = (tag, dir, mode) => `local,path=${dir.replaceAll(',', ',,')},mount_tag=${tag},security_model=none,multidevs=remap${mode}`;
  const boot = [...KERNEL, process.env.CTR_VM_KERNEL_ARGS ?? ''].join(' ').trim();
  return [
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-nic', 'none'],
    ...['-accel', accelerator(), '-cpu', PROCESSOR, '-smp', process.env.CTR_VM_CPUS ?? '2', '-m', process.env.CTR_VM_MEMORY ?? '4G'],
    ...['-kernel', kernel.image, '-initrd', path.join(folder, 'initramfs.cpio'), '-append', boot],
    ...['-virtfs', shared('host', '/', ',readonly=on'), '-virtfs', shared('share', path.join(folder, 'share'), '')],
    ...['-drive', `file=${path.join(folder, 'disk.img').replaceAll(',', ',,')},format=raw,if=virtio,cache=unsafe,discard=ignore`],
    ...(shell
      ? ['-serial', 'mon:stdio']
      : [
          ...['-serial', `file:${path.join(folder, 'console.log').replaceAll(',', ',,')}`, '-monitor', 'none'],
          ...['-device', 'virtio-serial-pci', '-chardev', 'stdio,id=out,signal=off', '-device', 'virtserialport,chardev=out'],
        ]),
  ];
}

/** Starts the machine, which runs until it powers off. Returns its process; the kernel kills it when this process ends, however it ends. */
export function startMachine({ kernel, folder, shell, nice }) {
  const qemu = ['qemu-system-x86_64', ...qemuArguments({ kernel, folder, shell })];
  // qemu takes the end of its input for a closed channel, and then gives no output either: the input stays open.
  const stdio = shell ? 'inherit' : ['pipe', 'pipe', 'pipe'];
  return spawn('setpriv', ['--pdeathsig', 'KILL', 'nice', '-n', String(nice), ...qemu], { stdio });
}

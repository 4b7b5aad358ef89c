// The start path under strace: the new process makes the calls of its plan, one for one, and none beside them but those that are
// named here; the monitor makes none that is not named here either.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { bundle } from './node-child.js';

const straced = need('linux', 'strace', 'userns');

interface SeenCall {
  name: string;
  /** Of an errno, or 'ok'. */
  result: string;
  line: string;
}
interface PlannedStep {
  call: string;
  allow?: string[];
  skipOnAllowed?: number;
  skipOnSuccess?: number;
  slot?: boolean;
}
interface Started {
  pid: number;
  monitor: number;
  maps: boolean;
  prepare: PlannedStep[];
  beside: PlannedStep[];
  enter: PlannedStep[];
  setup: PlannedStep[];
}

/** Starts what CASES names and prints what the plan said. The first start is not looked at: it starts the monitor too. */
const SCRIPT = `
  import { describeEnter, describeSpawn, enter, spawn, monitorPid, DEFAULT_CAPABILITIES, defaultSeccompFilter } from 'ns';
  const env = { PATH: '/usr/bin:/bin' };
  const plain = { args: ['/bin/true'], env };
  const caps = { bounding: [...DEFAULT_CAPABILITIES], effective: [], permitted: [], inheritable: [], ambient: [] };
  const rich = {
    ...plain,
    namespaces: { user: 'new', mount: 'new', pid: 'new', network: 'new', uts: 'new', ipc: 'new', cgroup: 'new' },
    hostname: 'box',
    root: { steps: [{ call: 'open_tree', args: [-100, '/', 0x88001], into: 'root' }], slot: 'root' },
    mounts: [{ type: 'proc', target: '/proc' }, { type: 'tmpfs', target: '/tmp' }],
    maskedPaths: ['/proc/kcore', '/there/is/none'],
    readonlyPaths: ['/proc/sys', '/there/is/none'],
    capabilities: caps,
    noNewPrivileges: true,
    seccomp: defaultSeccompFilter(DEFAULT_CAPABILITIES),
    rlimits: { nofile: { soft: 64, hard: 64 } },
  };
  const beside = { ...rich, beside: [{ call: 'getpid', args: [] }, { call: 'getppid', args: [] }] };
  const search = { args: ['true'], env: { PATH: '/there/is/none:/usr/bin:/bin' } };
  const CASES = { plain, rich, beside, search, listener: { ...plain, noNewPrivileges: true, seccomp: { program: new Uint8Array([6, 0, 0, 0, 0, 0, 255, 127, 6, 0, 0, 0, 0, 0, 192, 127]), onListener: (fd) => fd.close() } } };
  const steps = (stage) => stage.flat().map(({ call, args, allow, skipOnAllowed, skipOnSuccess }) => ({ call, allow, skipOnAllowed, skipOnSuccess, slot: args.length > 1 && typeof args[1] === 'object' && args[1] !== null && 'slot' in args[1] }));
  const facts = (plan, pid) => ({ pid, monitor: monitorPid(), maps: plan.idMaps !== undefined, prepare: steps(plan.stages.prepare), beside: steps(plan.stages.beside), enter: steps(plan.stages.enter), setup: steps(plan.stages.setup) });
  const done = async (p) => { const pid = p.pid; await p.exited; await p.cleaned; p.closeStreams(); return pid; };
  await done(await spawn(plain));
  const all = {};
  for (const [name, o] of Object.entries(CASES)) all[name] = facts(describeSpawn(o), await done(await spawn(o)));
  const box = await spawn({ args: ['/bin/sleep', '30'], env, namespaces: { user: 'new', pid: 'new', uts: 'new' } });
  const inside = await enter(box, plain);
  all.enter = facts(describeEnter({ pid: box.pid, pidfd: 3 }, plain, box.namespaces, process.geteuid() !== 0), await done(inside));
  await box[Symbol.asyncDispose]();
  console.log(JSON.stringify(all));
`;

function parse(file: string): SeenCall[] {
  const calls: SeenCall[] = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, name, rest] = /^(\w+)\((.*)$/.exec(line) ?? [];
    if (name === undefined || rest === undefined) continue;
    const [, result, errno] = /\)\s+= (-?\w+|\?)(?: (E\w+))?/.exec(rest) ?? [];
    calls.push({ name, result: result === '-1' && errno !== undefined ? errno : 'ok', line });
  }
  return calls;
}

/** What a composite operation consists of: native/init/steps.cc, listener.cc. */
const COMPOSITE: Readonly<Record<string, (step: PlannedStep, seen: readonly string[]) => string[]>> = {
  assert_monitor: () => ['ppoll'],
  await_monitor: () => ['read'],
  // One between each two descriptors that stay, where there is something in between.
  close_fds: (step, seen) => seen.slice(0, step.slot ? 3 : 2).filter((name) => name === 'close_range'),
  // The thread that hands the listener over has a file of its own.
  listen_seccomp: () => ['clone3', 'seccomp'],
};

/** The calls of a list of steps, given what the kernel answered to each. */
function planned(steps: readonly PlannedStep[], seen: readonly SeenCall[]): string[] {
  const names: string[] = [];
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as PlannedStep;
    names.push(
      ...(COMPOSITE[step.call]?.(
        step,
        seen.slice(names.length).map((c) => c.name),
      ) ?? [step.call]),
    );
    const result = seen[names.length - 1]?.result ?? 'ok';
    if (result === 'ok') i += step.skipOnSuccess ?? 0;
    else if (step.allow?.includes(result)) i += step.skipOnAllowed ?? 0;
    if (step.call.startsWith('exec') && result === 'ok') break;
  }
  return names;
}

/** native/init/launch.cc: it dies with the monitor from its first instruction on. */
const TIED = ['prctl', 'ppoll'];
/** Lets go of the gate's other end. */
const GATE = ['close'];
/** With new maps: waits at the gate, and is not dumpable any more. */
const MAPS = ['read', 'prctl'];
/** The monitor blocks all signals; the program must not. */
const SIGNALS = ['rt_sigprocmask'];

describe.skipIf(!straced.ok)(straced.title('strace sees'), () => {
  const dir = makeTempDir('strace');
  let all: Record<string, Started>;
  const fileOf = (pid: number) => path.join(dir, `t.${pid}`);

  beforeAll(async () => {
    const script = await bundle(SCRIPT);
    const strace = [host.program('strace'), '-f', '-ff', '-s', '256', '-o', path.join(dir, 't')];
    const r = spawnSync(strace[0] as string, [...strace.slice(1), process.execPath, script], { encoding: 'utf8', timeout: 100_000 });
    expect({ status: r.status, stderr: r.stderr }).toMatchObject({ status: 0, stderr: '' });
    all = JSON.parse(r.stdout) as Record<string, Started>;
  }, 110_000);

  /** The monitor's last child: the process that enters, where the monitor may join the pid namespace itself, else one in between. */
  const lastChild = ({ monitor }: Started): number => {
    const made = parse(fileOf(monitor)).filter(({ name }) => name === 'clone3');
    return Number(/= (\d+)/.exec(made.at(-1)?.line ?? '')?.[1]);
  };

  it.each(['plain', 'rich', 'beside', 'search', 'listener', 'enter'])('no call of the new process that is not in its plan: %s', (name) => {
    const started = all[name] as Started;
    const { pid, maps, beside, setup, enter } = started;
    const seen = parse(fileOf(pid));
    const tied = [...TIED, ...(maps || beside.length > 0 ? GATE : []), ...(maps ? MAPS : [])];
    const joins = name === 'enter' && lastChild(started) === pid ? planned(enter, seen.slice(tied.length)) : [];
    const before = [...tied, ...joins, ...SIGNALS];
    const calls = planned(setup, seen.slice(before.length));
    const own = seen.slice(0, before.length + calls.length);
    expect(own.map((c) => c.name)).toEqual([...before, ...calls]);
    expect(own.at(-1)?.line).toMatch(/^execve\(.* = 0$/);
    expect(enter.length > 0).toBe(name === 'enter');
  });

  it('no call of a process in between that is not in the plan', () => {
    const started = all['enter'] as Started;
    const between = lastChild(started);
    // As root there is none: the monitor joins.
    if (between === started.pid) return expect(process.getuid?.()).toBe(0);
    const seen = parse(fileOf(between));
    expect(seen.map((c) => c.name)).toEqual([...TIED, ...planned(started.enter, seen.slice(TIED.length)), 'clone3', 'exit_group']);
    expect(seen.at(-2)?.line).toContain(`= ${started.pid}`);
  });

  /** What each call of the monitor is for, and how often at most, from the plan's arrival to the word that it runs. */
  const MONITOR: Readonly<Record<string, number>> = {
    recvmsg: 1, // the plan
    mmap: 1, // the record of the container
    geteuid: 1, // with maps: whether its files show without more
    pipe2: 2, // the report, the gate
    prctl: 2, // dumpable around the clone, with maps and as an ordinary user
    setns: 3, // enter: our next child is born in the other pid namespace, and back
    clone3: 1,
    openat: 4, // the process's folder of /proc; setgroups, gid_map, uid_map in it
    write: 5, // the maps, and the gate twice
    close: 10, // that folder, the map files, the child's ends, what came along, the report
    epoll_ctl: 3, // the process and its report; the report's end
    epoll_pwait: 3,
    read: 2, // of the report: its end
    ppoll: 2, // the report, when the process has ended already
    waitid: 1, // the process in between
    pidfd_open: 1, // its child
    clock_gettime: 6, // the time of the event; while something launches, whether it is time to look for what was stopped
    sendmsg: 1, // it runs
  };

  it.each(['plain', 'rich', 'beside', 'search', 'listener', 'enter'])('no call of the monitor that does not serve: %s', (name) => {
    const { pid, monitor, maps, prepare, beside } = all[name] as Started;
    const calls = parse(fileOf(monitor));
    // Its pid is in no answer to the monitor when another process made it.
    const cloned = calls.findIndex(
      (c) => c.name === 'clone3' && (c.line.endsWith(`= ${pid}`) || (name === 'enter' && c === lastClone(calls))),
    );
    const from = calls.findLastIndex((c, i) => i < cloned && c.name === 'recvmsg');
    const to = calls.findIndex((c, i) => i > cloned && c.name === 'sendmsg');
    const counts: Record<string, number> = {};
    for (const c of calls.slice(from, to + 1)) counts[c.name] = (counts[c.name] ?? 0) + 1;
    for (const step of [...prepare, ...beside]) counts[step.call] = (counts[step.call] ?? 0) - 1;
    expect(Object.entries(counts).filter(([call, n]) => n > (MONITOR[call] ?? 0))).toEqual([]);
    if (!maps) expect([counts['openat'], counts['write'], counts['geteuid']]).toEqual([undefined, undefined, undefined]);
  });

  const lastClone = (calls: readonly SeenCall[]): SeenCall | undefined => calls.findLast((c) => c.name === 'clone3');
});

// The systemd driver: against the real one where a host was booted with it, and everywhere against a real dbus-daemon with
// a small stand-in for systemd's manager, for what is said on the wire and what is made of refusals.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { type Message, type MessageBus, Message as MessageClass, sessionBus } from '@jellybrick/dbus-next';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createCgroup, createScope, detectCgroups, openParent } from '../src/index.js';
import { isSystemdBooted, SystemdManager } from '../src/systemd/bus.js';
import { startScope } from '../src/systemd/scope.js';
import { endChildren, exitOf, randomName, start, text } from './support.js';

afterEach(endChildren);

const MB = 1024 * 1024;

host.define('dbus-daemon', { test: () => existsSync('/usr/bin/dbus-daemon'), cure: 'install it, on Debian: apt-get install dbus' });
host.define('systemd', { test: isSystemdBooted, cure: 'boot the host with systemd' });

/** A bus of our own. */
async function startBus(): Promise<{ address: string; daemon: ChildProcess }> {
  const address = `unix:path=${makeTempDir('dbus')}/bus`;
  const daemon = spawn('dbus-daemon', ['--session', '--nofork', '--nopidfile', '--print-address', `--address=${address}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(daemon.stdout as NodeJS.ReadableStream, 'data');
  return { address, daemon };
}

const PATH = '/org/freedesktop/systemd1';
const MANAGER = 'org.freedesktop.systemd1.Manager';

/** Does what systemd does with a scope, as far as our driver can see it: a cgroup, the processes in it, a job that ends. */
class StandIn {
  readonly heard: { member: string; body: unknown[] }[] = [];
  readonly made: string[] = [];
  result = 'done';
  constructor(
    readonly bus: MessageBus,
    readonly below: string,
  ) {
    bus.addMethodHandler((m: Message) => this.#answer(m));
  }

  #answer(m: Message): boolean {
    if (m.interface !== MANAGER) return false;
    this.heard.push({ member: m.member, body: m.body });
    const [unit, , properties] = m.body as [string, string, [string, { value: unknown }][]];
    if (m.member === 'StartTransientUnit' && this.made.some((d) => d.endsWith(`/${unit}`))) {
      this.bus.send(MessageClass.newError(m, 'org.freedesktop.systemd1.UnitExists', `Unit ${unit} already exists.`));
      return true;
    }
    if (m.member === 'StartTransientUnit') this.#make(unit, new Map(properties).get('PIDs')?.value as number[]);
    const job = `${PATH}/job/${this.heard.length}`;
    this.bus.send(MessageClass.newMethodReturn(m, 'o', [job]));
    this.bus.send(MessageClass.newSignal(PATH, MANAGER, 'JobRemoved', 'uoss', [1, job, unit, this.result]));
    return true;
  }

  #make(unit: string, pids: readonly number[]): void {
    const dir = `${this.below}/${unit}`;
    mkdirSync(dir);
    this.made.push(dir);
    for (const pid of pids) writeFileSync(`${dir}/cgroup.procs`, `${pid}`);
  }
}

const wire = need('root', 'dbus-daemon', 'cgroup2:hugetlb');

describe.skipIf(!wire.ok)(wire.title('over a real bus, to a stand-in'), () => {
  let daemon: ChildProcess;
  let service: MessageBus;
  let standIn: StandIn;
  const before = process.env['DBUS_SYSTEM_BUS_ADDRESS'];

  beforeAll(async () => {
    const bus = await startBus();
    daemon = bus.daemon;
    process.env['DBUS_SYSTEM_BUS_ADDRESS'] = bus.address;
    service = sessionBus({ busAddress: bus.address });
    await service.requestName('org.freedesktop.systemd1');
    standIn = new StandIn(service, (await detectCgroups()).unified?.directory as string);
  });

  afterAll(async () => {
    service.disconnect();
    daemon.kill();
    await exitOf(daemon);
    for (const d of standIn.made) rmdirSync(d);
    if (before === undefined) delete process.env['DBUS_SYSTEM_BUS_ADDRESS'];
    else process.env['DBUS_SYSTEM_BUS_ADDRESS'] = before;
  });

  it('a scope is asked for with Delegate, our process and its limits, and found', async () => {
    const child = start('sleep', ['1000']);
    const unit = `${randomName()}.scope`;
    const manager = await SystemdManager.connect('system');
    try {
      const directories = await startScope(manager, unit, { pids: [child.pid], slice: 'a-b.slice' }, [['TasksMax', 't', 7n]]);
      expect(directories['unified']).toBe(standIn.made.at(-1));
      expect(text(directories['unified'], 'cgroup.procs')).toBe(`${child.pid}`);
      const { member, body } = standIn.heard.at(-1) ?? { member: '', body: [] };
      expect([member, body[0], body[1]]).toEqual(['StartTransientUnit', unit, 'fail']);
      const properties = Object.fromEntries((body[2] as [string, { value: unknown }][]).map(([name, v]) => [name, v.value]));
      expect(properties).toMatchObject({
        Delegate: true,
        Slice: 'a-b.slice',
        PIDs: [child.pid],
        TasksMax: 7n,
        CollectMode: 'inactive-or-failed',
      });
      await expect(startScope(manager, unit, { pids: [child.pid] })).rejects.toMatchObject({
        code: 'CTR_SYSTEMD',
        dbusName: 'org.freedesktop.systemd1.UnitExists',
        hint: expect.stringContaining('another name'),
      });
      standIn.result = 'failed';
      await expect(manager.job('StopUnit', 'ss', [unit, 'replace'], 'stop it')).rejects.toThrow('the job ended with "failed"');
    } finally {
      standIn.result = 'done';
      manager.close();
      child.kill('SIGKILL');
      await exitOf(child);
    }
  });

  it('leaves no connection behind', async () => {
    // Our own only: others on the host open sockets meanwhile.
    const isSocket = (fd: string): boolean => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
      } catch {
        return false;
      }
    };
    const open = (): number => readdirSync('/proc/self/fd').filter(isSocket).length;
    const first = open();
    for (let i = 0; i < 10; i += 1) (await SystemdManager.connect('system')).close();
    await expect.poll(open, { timeout: 10_000 }).toBeLessThanOrEqual(first);
  });
});

describe('where systemd is not', () => {
  const n = need('linux');
  it.skipIf(!n.ok)(n.title('the driver says so, and changes nothing'), async () => {
    await expect(createScope('../x', { pids: [1] })).rejects.toMatchObject({ path: 'name' });
    await expect(createScope('x', { pids: [] })).rejects.toMatchObject({ path: 'options.pids' });
    await expect(createScope('x', { pids: [1], slice: 'a\nb.slice' })).rejects.toMatchObject({ path: 'options.slice' });
    await expect(openParent('x', { driver: 'docker' as 'systemd' })).rejects.toMatchObject({ path: 'options.driver' });
    if (isSystemdBooted()) return;
    await expect(createScope('x', { pids: [process.pid] })).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
    await expect(openParent('x', { driver: 'systemd' })).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
  });

  it.skipIf(!n.ok)(n.title('no bus is no crash'), async () => {
    const before = process.env['DBUS_SYSTEM_BUS_ADDRESS'];
    process.env['DBUS_SYSTEM_BUS_ADDRESS'] = 'unix:path=/no/such/bus';
    try {
      await expect(SystemdManager.connect('system')).rejects.toMatchObject({
        code: 'CTR_UNSUPPORTED',
        found: expect.stringContaining('ENOENT'),
      });
    } finally {
      if (before === undefined) delete process.env['DBUS_SYSTEM_BUS_ADDRESS'];
      else process.env['DBUS_SYSTEM_BUS_ADDRESS'] = before;
    }
  });
});

const real = need('root', 'systemd');

describe.skipIf(!real.ok)(real.title('with the real systemd'), () => {
  it('a scope holds a process to its limits, is changed, and is gone in the end', { timeout: 300_000 }, async () => {
    const child = start('sleep', ['1000']);
    const name = randomName();
    const scope = await createScope(name, { pids: [child.pid], resources: { memory: 64 * MB, pids: 20, cpus: 0.5 } });
    expect(await scope.cgroup.pids()).toEqual([child.pid]);
    expect(await scope.cgroup.limits()).toMatchObject({ memory: 64 * MB, pids: 20, cpus: 0.5, memorySwap: 0 });
    await scope.update({ memory: 32 * MB, pids: null });
    expect(await scope.cgroup.limits()).toMatchObject({ memory: 32 * MB });
    const manager = await SystemdManager.connect('system');
    try {
      // systemd itself writes its limits again, and they are ours.
      await promisify(execFile)('busctl', ['--timeout=110', 'call', 'org.freedesktop.systemd1', PATH, MANAGER, 'Reload']);
      expect(await scope.cgroup.limits()).toMatchObject({ memory: 32 * MB });
      expect(await manager.call('GetUnit', 's', [scope.unit])).toContain('/org/freedesktop/systemd1/unit/');
      await expect(createScope(name, { pids: [process.pid] })).rejects.toMatchObject({ code: 'CTR_SYSTEMD' });
      await scope.stop();
      await exitOf(child);
      await expect(manager.call('GetUnit', 's', [scope.unit])).rejects.toMatchObject({ dbusName: 'org.freedesktop.systemd1.NoSuchUnit' });
      await scope.stop();
    } finally {
      manager.close();
    }
    for (const d of Object.values(scope.cgroup.directories)) expect(existsSync(d), d).toBe(false);
  });

  it('a parent lies in a scope of this process, and takes it back', { timeout: 300_000 }, async () => {
    const name = randomName();
    const before = readFileSync('/proc/self/cgroup', 'utf8');
    const parent = await openParent(name, { driver: 'systemd' });
    expect(readFileSync('/proc/self/cgroup', 'utf8')).toContain(`${name}-${process.pid}.scope`);
    for (const d of parent.directories) expect(d).toContain(`${name}-${process.pid}.scope/`);
    const again = await openParent(name, { driver: 'systemd' });
    expect(again.directories).toEqual(parent.directories);
    const box = await createCgroup(parent, 'box', { memory: 64 * MB, pids: 5 });
    expect(await box.limits()).toMatchObject({ memory: 64 * MB, pids: 5 });
    await box.remove();
    await parent.remove();
    expect(readFileSync('/proc/self/cgroup', 'utf8')).toBe(before);
  });
});

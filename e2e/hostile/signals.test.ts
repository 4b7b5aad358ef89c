// Malicious processes: signals to whom they should not reach, and commands typed into the terminal of the one who started them
// (CVE-2017-5226, CVE-2016-2781).
import { spawn as spawnChild } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { monitorPid } from '@ctr/namespaces';
import { runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { run } from '../fixtures/command.js';
import { base, cleanly, inside, rootfs, WAYS } from './fixtures/hostile.js';

const children = fileURLToPath(new URL('./children/', import.meta.url));
host.define('script', { test: () => host.program('script') !== '', cure: 'install it, on Debian: apt-get install bsdutils' });
const terminal = need('script');
/** Parent, process group, session of a process. */
const family = (pid: number): number[] => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(1, 4)
    .map(Number);
};

beforeAll(async () => {
  if (base.ok) await rootfs();
});

describe.skipIf(!base.ok).each(WAYS)(base.title('signals of $way'), ({ options }) => {
  it('C-20 reach nobody outside: not all, not a group, not the first process', async () => {
    await cleanly(async () => {
      // In this process's own group, where a signal to the launcher's group would hit it.
      const witness = spawnChild('sleep', ['60'], { stdio: 'ignore' });
      const received: string[] = [];
      const note = (signal: string) => received.push(signal);
      const signals = ['SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGHUP', 'SIGCONT'] as const;
      for (const s of signals) process.on(s, note);
      try {
        await using sibling = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '60'], ...options });
        await using box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '60'], ...options });
        expect(family(box.pid)[2]).not.toBe(family(process.pid)[2]);
        expect(family(box.pid)[1]).not.toBe(family(process.pid)[1]);
        const groups = [0, family(process.pid)[1], family(monitorPid() ?? 0)[1], process.pid, monitorPid(), sibling.pid];
        const kills = signals
          .flatMap((s) => groups.map((g) => `kill -${s.slice(3)} ${g} 2>/dev/null; kill -${s.slice(3)} -${g} 2>/dev/null`))
          .join('; ');
        const r = await box
          .exec(['/bin/sh', '-c', `trap "" USR1 USR2 TERM HUP; ${kills}; kill -CONT -1; kill -KILL 1; echo done`])
          .result();
        expect(r.stdout).toBe('done\n');
        expect([box.exitStatus, sibling.exitStatus, witness.exitCode, witness.signalCode]).toEqual([undefined, undefined, null, null]);
        // Everything but himself and the first, who has no handler.
        await box.exec(['/bin/sh', '-c', 'kill -KILL -1']).result();
        expect([box.exitStatus, sibling.exitStatus, witness.signalCode]).toEqual([undefined, undefined, null]);
        expect(received).toEqual([]);
      } finally {
        for (const s of signals) process.off(s, note);
        const gone = new Promise((resolve) => witness.once('exit', resolve));
        witness.kill('SIGKILL');
        await gone;
      }
    });
  });

  it('C-20 the first process may end itself, and that is told', async () => {
    const r = await cleanly(() => inside('trap "exit 9" TERM; kill -TERM 1; sleep 1', options));
    expect(r.exitCode).toBe(9);
  });
});

describe.skipIf(!base.ok || !terminal.ok)(terminal.title(base.title('the terminal of the one who starts')), () => {
  it('C-18 takes no character and no control from inside', async () => {
    const file = path.join(makeTempDir('answers'), 'answers');
    const command = `'${process.execPath}' '${children}terminal.mjs' '${await rootfs()}' '${file}'; echo "status $?"; IFS= read -r -t 1 typed; echo "typed <$typed>"`;
    // In a file, where no shell in between reads its dollars.
    const typist = path.join(path.dirname(file), 'typist');
    writeFileSync(typist, command);
    const r = await run('script', ['-qec', `bash '${typist}'`, '/dev/null'], {
      env: { ...process.env, NODE_OPTIONS: '', TERM: 'dumb', CTR_RUN: makeTempDir('run'), CTR_ROOT: makeTempDir('store') },
    });
    expect(r.stdout).toContain('status 0');
    expect(r.stdout).toMatch(/typed <>/);
    const seen = JSON.parse(readFileSync(file, 'utf8')) as Record<'run' | 'direct', string>;
    for (const text of Object.values(seen)) {
      const [answers = '', ...rest] = text.trim().split('\n');
      // Each call refused; no /dev/tty; field 7 of stat, the controlling terminal, is none.
      expect(JSON.parse(answers) as unknown[], text).toHaveLength(12);
      expect((JSON.parse(answers) as unknown[]).filter((a) => typeof a === 'number')).toEqual([]);
      expect(rest).toEqual(['0']);
    }
  });
});

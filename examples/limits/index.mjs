// Limits, and the truth about what was met: memory, CPU time, processes, time. Runs on this machine's own files.
import { checkHost, runContainer, UnsupportedError } from '@ctr/runtime';

const root = { rootfs: 'host', readOnly: process.geteuid() !== 0 };
const node = (script) => ({ ...root, command: [process.execPath, '-e', script] });

const cases = {
  'memory: 64m, and a program that takes 200 MB': { ...node('Buffer.alloc(2e8, 1)'), resources: { memory: '64m' } },
  'cpus: 0.5, and one that burns a second': { ...node('const t = Date.now() + 1000; while (Date.now() < t);'), resources: { cpus: 0.5 } },
  'pids: 5, and a shell that forks ten times': {
    ...root,
    command: ['sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; wait'],
    resources: { pids: 5 },
  },
  'timeout: 300 ms, and one that sleeps': { ...root, command: ['sleep', '60'], timeout: 300 },
  'no limit, and exit code 3': { ...root, command: ['sh', '-c', 'exit 3'] },
};

for (const [what, options] of Object.entries(cases)) {
  try {
    const { reason, exitCode, signal, durationMs, usage } = await runContainer(options).result();
    const cores = usage.cpuMs === null ? '?' : (usage.cpuMs / durationMs).toFixed(2);
    console.log(
      `${what}\n    ${reason}, ${signal ?? `exit code ${exitCode}`}, ${durationMs.toFixed(0)} ms, ${cores} cores, peak ${usage.memoryPeakBytes ?? '?'} bytes`,
    );
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    console.log(`${what}\n    ${error.message}`);
  }
}

const host = await checkHost();
const missing = Object.entries(host.features).filter(([, feature]) => !feature.ok);
for (const [name, feature] of missing) console.log(`not here: ${name} (${feature.why}); ${feature.cure}`);

// A runner of vitest: what has not begun when its time is up is skipped, and says so. Inside of a run, since starting vitest once more for
// each file would take most of the time under emulation.
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { it, TestRunner } from 'vitest';

/** Milliseconds since the epoch; never when it is not set. */
const deadline = Number(process.env.CTR_VM_DEADLINE || Number.POSITIVE_INFINITY);
const late = () => Date.now() > deadline;
const said = new Set();

/** Once for each file, for the report at the end; a bundle (bundle.mjs) by the name of its source. */
function tell(bundle) {
  const file = bundle.replace(/\.mjs$/, '.ts');
  const log = process.env.CTR_SKIP_LOG;
  if (log && !said.has(file)) appendFileSync(log, `needs time: ${file}\n`);
  said.add(file);
}

function leaveOut(task) {
  task.mode = 'skip';
  for (const child of task.tasks ?? []) leaveOut(child);
}

export default class TimeLimit extends TestRunner {
  /** A file that is not even read is one skipped test. */
  importFile(file, source) {
    if (source !== 'collect' || !late()) return super.importFile(file, source);
    const name = path.relative(this.config.root, file);
    tell(name);
    it.skip('everything in this file [skipped: no time left]');
  }

  async onBeforeRunSuite(suite) {
    await super.onBeforeRunSuite(suite);
    if (!late() || suite.mode !== 'run') return;
    tell(suite.file.name);
    leaveOut(suite);
  }

  async onBeforeRunTask(test) {
    await super.onBeforeRunTask(test);
    if (!late() || test.mode !== 'run') return;
    tell(test.file.name);
    leaveOut(test);
  }
}

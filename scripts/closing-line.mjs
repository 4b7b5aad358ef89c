// A vitest reporter: prints "N passed, N failed, N skipped" as the run's last line, or, when CTR_COUNT_FILE is set,
// writes the counts there, so that several runs can be added up to one line.
import { writeFileSync } from 'node:fs';

function count(modules, errors) {
  const n = { passed: 0, failed: 0, skipped: 0 };
  for (const m of modules) {
    for (const t of m.children.allTests()) n[t.result().state] = (n[t.result().state] ?? 0) + 1;
    if (m.state() === 'failed' && m.errors().length > 0) n.failed += 1;
    // A hook that failed: its tests never ran, and must not look like skipped ones.
    for (const suite of m.children.allSuites()) if ((suite.errors?.() ?? []).length > 0) n.failed += 1;
  }
  n.failed += errors.length;
  return n;
}

export default class ClosingLine {
  #ended = [];

  /** A run that is stopped has counted what had ended by then. */
  onTestModuleEnd(module) {
    this.#ended.push(module);
    const file = process.env.CTR_COUNT_FILE;
    if (file) writeFileSync(file, JSON.stringify(count(this.#ended, [])));
  }

  onTestRunEnd(modules, errors) {
    const n = count(modules, errors);
    const file = process.env.CTR_COUNT_FILE;
    if (file) writeFileSync(file, JSON.stringify(n));
    else process.on('exit', () => process.stdout.write(`${n.passed} passed, ${n.failed} failed, ${n.skipped} skipped\n`));
  }
}

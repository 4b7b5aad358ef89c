// Adds up what several runs of vitest counted, and says which needs were missing.
import { existsSync, readFileSync } from 'node:fs';
import { say } from './progress.mjs';

export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;

  /** The closing line, which CI reads: it must be the last of stdout. */
  get line() {
    return `${this.passed} passed, ${this.failed} failed, ${this.skipped} skipped`;
  }

  /** Something beside the tests failed: one failure, and the reason on stderr. */
  fail(reason) {
    this.failed += 1;
    process.exitCode = 1;
    say(reason);
  }

  /** A whole suite cannot run: one skip with its reason, or a failure when CTR_REQUIRE lists the `feature`. */
  missing(feature, reason) {
    if ((process.env.CTR_REQUIRE ?? '').split(',').includes(feature))
      return this.fail(`CTR_REQUIRE lists ${feature}, but this host lacks it: ${reason}`);
    this.skip(feature, reason);
  }

  /** Something was not run to its end: one skip with its reason. */
  skip(feature, reason) {
    this.skipped += 1;
    say(`  skipped, ${feature}: ${reason}`);
  }

  /** Adds the counts that closing-line.mjs wrote to `countFile`. A run that broke without a failed test is one failure. */
  add(countFile, status, broken = `vitest ended with ${status}`) {
    const counts = readCounts(countFile);
    for (const key of ['passed', 'failed', 'skipped']) this[key] += counts[key];
    if (counts.failed > 0) process.exitCode = 1;
    else if (status !== 0) this.fail(broken);
  }
}

/** An empty file is one that no run wrote. */
function readCounts(countFile) {
  const text = existsSync(countFile) ? readFileSync(countFile, 'utf8') : '';
  return text === '' ? { passed: 0, failed: 0, skipped: 0 } : JSON.parse(text);
}

/** The reasons in a file that `need()` wrote because of CTR_SKIP_LOG, one for each group of tests. */
export function skipReasons(skipLog) {
  return existsSync(skipLog) ? readFileSync(skipLog, 'utf8').split('\n').filter(Boolean) : [];
}

/** Each missing feature once, with the number of groups of tests that wanted it. `covered` matches what another run has. */
export function explainSkips(who, reasons, covered) {
  const counts = new Map();
  for (const r of reasons) counts.set(r, (counts.get(r) ?? 0) + 1);
  for (const [reason, n] of [...counts].sort((a, b) => b[1] - a[1])) {
    const elsewhere = covered.test(reason) ? ' (another run has them)' : '';
    say(`  skipped ${who}: ${n} group${n > 1 ? 's' : ''}${elsewhere}: ${reason}`);
  }
}

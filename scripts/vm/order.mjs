// The order of the test files where CTR_TEST_ORDER names folders or files, the most important first: when time runs out, the rest is skipped.
import { BaseSequencer } from 'vitest/node';

const names = (process.env.CTR_TEST_ORDER ?? '').split(',').filter(Boolean);

function rank(file) {
  const i = names.findIndex((n) => file.includes(`/${n}`));
  return i < 0 ? names.length : i;
}

export class InOrder extends BaseSequencer {
  /** Files of one rank by their names: each run is the same. */
  async sort(files) {
    return [...files].sort((a, b) => rank(a.moduleId) - rank(b.moduleId) || (a.moduleId < b.moduleId ? -1 : 1));
  }
}

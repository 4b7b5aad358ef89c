// The order of the test files where CTR_TEST_ORDER names folders or files, the most important first: when time runs out, the rest is skipped.
import { BaseSequencer } from 'vitest/node';

const names = (process.env.CTR_TEST_ORDER ?? '').split(',').filter(Boolean);

/** Its place is that of the longest name that it has: a file that is named comes where it is named, not with its folder. */
function rank(file) {
  const longest = names.filter((n) => file.includes(`/${n}`)).sort((a, b) => b.length - a.length)[0];
  return longest === undefined ? names.length : names.indexOf(longest);
}

export class InOrder extends BaseSequencer {
  /** Files of one rank by their names: each run is the same. */
  async sort(files) {
    return [...files].sort((a, b) => rank(a.moduleId) - rank(b.moduleId) || (a.moduleId < b.moduleId ? -1 : 1));
  }
}

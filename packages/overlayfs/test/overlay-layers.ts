// Two layers with one of everything that layers do to each other.
import { archive, dir, file } from './tar-builder.js';

export const LOWER = archive(
  dir('d'),
  file('d/lower'),
  dir('o'),
  file('o/lower'),
  file('gone'),
  file('f', 'lower'),
  dir('whole'),
  file('whole/x'),
  dir('r'),
  file('r/old'),
);
export const UPPER = archive(
  dir('d'),
  file('d/upper'),
  dir('o'),
  file('o/.wh..wh..opq', ''),
  file('o/upper'),
  file('.wh.gone', ''),
  file('f', 'upper'),
  file('.wh.whole', ''),
  file('.wh.r', ''),
  dir('r'),
  file('r/new'),
);

// The demonstration. Without arguments: a tour with containers made of this machine's own Node.
// With arguments: runs any image of any registry, or "host" for the machine's own tree.
import process from 'node:process';
import { runImage } from './run-image.mjs';
import { explainAndExit } from './show/errors.mjs';
import { tour } from './tour.mjs';

const USAGE = `npm start                          a tour, no registry needed
npm start -- IMAGE [COMMAND…]      runs an image, such as debian:12 cat /etc/os-release
npm start -- host [COMMAND…]       runs a program on this machine's own files, which it cannot change
`;

const [first, ...command] = process.argv.slice(2);
try {
  if (first === undefined) await tour();
  else if (first === '-h' || first === '--help') process.stdout.write(USAGE);
  else process.exitCode = await runImage(first, command);
} catch (error) {
  explainAndExit(error);
}

// Runs inside: writes over a file of the image and into the root, then tells what is there.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

writeFileSync('/app/note.txt', `written by ${process.argv[2]}\n`);
writeFileSync(`/of-${process.argv[2]}`, '');
console.log(
  JSON.stringify({ note: readFileSync('/app/note.txt', 'utf8').trim(), root: readdirSync('/').filter((name) => name.startsWith('of-')) }),
);

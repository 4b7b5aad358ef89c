// Runs inside: starts copies of itself until it may not, then says how many there were.
import { spawn } from 'node:child_process';

if (process.argv[2] === 'child') setInterval(() => {}, 1000);
else {
  let started = 0;
  let refused;
  for (let i = 0; i < 200 && refused === undefined; i += 1) {
    const child = spawn(process.execPath, [process.argv[1], 'child'], { stdio: 'ignore' });
    refused = await new Promise((resolve) => {
      child.once('spawn', () => resolve(undefined));
      child.once('error', (error) => resolve(error.code));
    });
    if (refused === undefined) started += 1;
  }
  console.log(JSON.stringify({ started, refused }));
  process.exit();
}

// npm start: sets up, then runs the demonstration. npm start -- IMAGE [CMD …] runs an image, "host" the machine's own tree.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fail, setup } from './setup.mjs';

await setup('start').catch(fail);
const demo = spawn(process.execPath, ['examples/demo/index.mjs', ...process.argv.slice(2)], { stdio: 'inherit' });
// A terminal's Ctrl-C reaches the demonstration by itself; what is sent to us alone is handed on.
process.on('SIGINT', () => {});
for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => demo.kill(name));
demo.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
});

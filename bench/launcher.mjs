// Talks to launch.c: one request, one sample.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export class Launcher {
  #process;
  #waiting = [];

  constructor(program) {
    this.#process = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#waiting.shift()?.resolve(line));
    this.#process.on('exit', () => {
      for (const w of this.#waiting) w.reject(new Error('the launcher ended'));
    });
  }

  /** Microseconds from the request to the program's first instruction (start) and to the exit of what was started (run). */
  async sample({ args, file = '', mountNamespace = '' }, gapUs) {
    const line = await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#process.stdin.write(`${[String(args.length), String(gapUs), file, mountNamespace, ...args].join('\0')}\0`);
    });
    const [requested, stamped, reaped, status] = line.split(' ').map(Number);
    if (status !== 0 || !(stamped > requested)) throw new Error(`${args[0]} failed with status ${status}`);
    return { start: (stamped - requested) / 1e3, run: (reaped - requested) / 1e3 };
  }

  stop() {
    this.#process.stdin.end();
  }
}

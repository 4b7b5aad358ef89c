// A Node of its own that starts containers and measures itself: the parent's side of worker.mjs.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const file = fileURLToPath(new URL('worker.mjs', import.meta.url));

export class NodeWorker {
  #process;

  /** `megabytes` of live heap are filled before it is ready. `user`: its uid and gid, and what its environment has of its own. */
  constructor(root, megabytes = 0, { uid, gid, env } = {}) {
    const execArgv = megabytes > 0 ? [`--max-old-space-size=${megabytes * 4}`] : [];
    const as = uid === undefined ? {} : { uid, gid, env: { ...process.env, ...env } };
    this.#process = fork(file, [`--root=${root}`, `--heap=${megabytes}`], { execArgv, ...as });
    /** Resolves with { heapUsedMiB } when it is. */
    this.ready = this.#answer();
  }

  #answer() {
    return new Promise((resolve, reject) => {
      const ended = (code) => reject(new Error(`the worker ended with ${code}`));
      this.#process.once('exit', ended);
      this.#process.once('message', (m) => {
        this.#process.off('exit', ended);
        if (m.error) reject(new Error(m.error));
        else resolve(m);
      });
    });
  }

  /** Calls one of the functions in worker.mjs. */
  ask(call, ...args) {
    const answer = this.#answer();
    this.#process.send({ call, args });
    return answer;
  }

  stop() {
    if (this.#process.connected) this.#process.disconnect();
  }
}

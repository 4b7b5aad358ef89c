// A bar for each layer, drawn over itself on a terminal; elsewhere one line when a layer is there.
const WIDTH = 30;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1).padStart(7)} MB`;

export class Bars {
  #out;
  #layers = new Map();
  #drawn = 0;
  #lines = 0;

  constructor(out) {
    this.#out = out;
  }

  /** Takes what onProgress of a pull or push tells. */
  show({ type, digest, bytes, total }) {
    if (type === 'download' || type === 'upload') this.#layers.set(digest, { bytes, total });
    const layer = this.#layers.get(digest);
    if (type === 'done' && layer) {
      layer.done = true;
      if (!this.#out.isTTY) this.#out.write(`${this.#line(digest, layer)}\n`);
    }
    if (this.#out.isTTY && (type === 'done' || performance.now() - this.#drawn > 80)) this.#draw();
  }

  end() {
    if (this.#out.isTTY && this.#layers.size > 0) this.#draw();
  }

  #draw() {
    this.#drawn = performance.now();
    const lines = [...this.#layers].map(([digest, layer]) => `\x1b[K${this.#line(digest, layer)}\n`);
    this.#out.write(`${this.#lines > 0 ? `\x1b[${this.#lines}A` : ''}${lines.join('')}`);
    this.#lines = lines.length;
  }

  #line(digest, { bytes, total, done }) {
    const share = total > 0 ? Math.min(1, bytes / total) : 1;
    const bar = '█'.repeat(Math.round(share * WIDTH)).padEnd(WIDTH, '░');
    return `${digest.slice(7, 19)}  ${bar} ${megabytes(bytes)}${done ? '  done' : ''}`;
  }
}

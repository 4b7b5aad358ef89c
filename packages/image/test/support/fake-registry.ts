// A small registry that can misbehave: it serves images made in memory, and a test takes over any request it likes.
import http, { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import zlib from 'node:zlib';
import { afterAll } from 'vitest';
import { digestOf } from '../../src/digest.js';
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from '../../src/document/media-types.js';
import { type Digest, hostPlatform, packTar, type TarEntry } from '../../src/index.js';

/** Answers, and returns true; or returns false and leaves it to the next. */
export type Handler = (req: IncomingMessage, res: ServerResponse) => boolean | Promise<boolean>;

/** Answers in one line; true, as a handler that took the request returns it. */
export function reply(res: ServerResponse, status: number, body: string | Buffer = '', headers: http.OutgoingHttpHeaders = {}): true {
  res.writeHead(status, headers).end(body);
  return true;
}

/** Writes to the socket what no server would. */
export function raw(res: ServerResponse, text: string): true {
  res.socket?.end(text);
  return true;
}

export interface Stored {
  bytes: Buffer;
  type: string;
  digest: Digest;
  size: number;
}

export class FakeRegistry {
  /** `127.0.0.1:port`. */
  host = '';
  /** Tries first; set by the test. */
  handler: Handler = () => false;
  readonly requests: { method: string; path: string; headers: http.IncomingHttpHeaders }[] = [];
  readonly #server: Server;
  readonly #content = new Map<string, Stored>();

  private constructor() {
    this.#server = http.createServer((req, res) => void this.#serve(req, res).catch((e: Error) => res.destroy(e)));
    // Idle connections end when the client says so, however slow the machine is.
    this.#server.keepAliveTimeout = 600_000;
  }

  static async start(): Promise<FakeRegistry> {
    const registry = new FakeRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    registry.host = `127.0.0.1:${(registry.#server.address() as AddressInfo).port}`;
    afterAll(() => registry.stop());
    return registry;
  }

  get origin(): string {
    return `http://${this.host}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Forgets requests and the test's handler, between tests. */
  reset(): void {
    this.requests.length = 0;
    this.handler = () => false;
  }

  /** Requests but for the first look at /v2/. */
  paths(): string[] {
    return this.requests.filter((r) => r.path !== '/v2/').map((r) => `${r.method} ${r.path}`);
  }

  put(kind: 'blobs' | 'manifests', repository: string, content: Buffer | object, type = 'application/octet-stream', tag?: string): Stored {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const stored = { bytes, type, digest: digestOf(bytes), size: bytes.length };
    this.#content.set(`/v2/${repository}/${kind}/${stored.digest}`, stored);
    if (tag !== undefined) this.#content.set(`/v2/${repository}/${kind}/${tag}`, stored);
    return stored;
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.requests.push({ method: req.method ?? '', path: req.url ?? '', headers: req.headers });
    if (await this.handler(req, res)) return;
    if (req.url === '/v2/') return void res.end('{}');
    const found = this.#content.get(req.url ?? '');
    if (found === undefined) return void res.writeHead(404).end('{"errors":[{"code":"NOT_FOUND","message":"no such thing"}]}');
    res.setHeader('content-type', found.type);
    res.setHeader('docker-content-digest', found.digest);
    const start = Number(/^bytes=(\d+)-$/.exec(req.headers.range ?? '')?.[1] ?? 0);
    res.setHeader('content-length', String(found.size - start));
    if (start > 0) res.writeHead(206, { 'content-range': `bytes ${start}-${found.size - 1}/${found.size}` });
    res.end(req.method === 'HEAD' ? undefined : found.bytes.subarray(start));
  }
}

export interface FakeImage {
  manifest: Stored;
  config: Stored;
  layers: Stored[];
  tars: Buffer[];
}

export async function tarOf(entries: TarEntry[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of packTar(entries)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export interface ImageShape {
  tag?: string;
  platform?: { os: string; architecture: string; variant?: string | undefined };
  tars?: Buffer[];
  /** Edits before the bytes are made. */
  config?: (config: Record<string, unknown>) => object;
  manifest?: (manifest: Record<string, unknown>) => object;
  manifestType?: string;
}

/** Puts an image of one small layer, or of the given ones, into the registry. */
export async function putImage(registry: FakeRegistry, repository: string, shape: ImageShape = {}): Promise<FakeImage> {
  const tars = shape.tars ?? [await tarOf([{ type: 'file', path: 'hello', content: `hello from ${repository}\n` }])];
  const layers = tars.map((tar) => registry.put('blobs', repository, zlib.gzipSync(tar, { level: 1 })));
  const { os, architecture, variant } = shape.platform ?? hostPlatform();
  const plain = {
    architecture,
    os,
    ...(variant ? { variant } : {}),
    config: { Cmd: ['/hello'] },
    rootfs: { type: 'layers', diff_ids: tars.map((t) => digestOf(t)) },
  };
  const config = registry.put('blobs', repository, shape.config?.(plain) ?? plain);
  const descriptor = ({ digest, size }: Stored, mediaType: string) => ({ mediaType, digest, size });
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(config, OCI_CONFIG),
    layers: layers.map((l) => descriptor(l, OCI_LAYER_GZIP)),
  };
  const manifest = registry.put(
    'manifests',
    repository,
    shape.manifest?.(document) ?? document,
    shape.manifestType ?? OCI_MANIFEST,
    shape.tag ?? 'latest',
  );
  return { manifest, config, layers, tars };
}

/** Puts an index over documents that are there. */
export function putIndex(
  registry: FakeRegistry,
  repository: string,
  entries: { stored: Stored; platform?: object; mediaType?: string }[],
  tag = 'latest',
): Stored {
  const manifests = entries.map(({ stored, platform, mediaType }) => ({
    mediaType: mediaType ?? stored.type,
    digest: stored.digest,
    size: stored.size,
    ...(platform ? { platform } : {}),
  }));
  return registry.put('manifests', repository, { schemaVersion: 2, mediaType: OCI_INDEX, manifests }, OCI_INDEX, tag);
}

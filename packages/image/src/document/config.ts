// The image config: what a container of this image runs, and the diffIDs its layers must have.
import { ImageError } from '@ctr/internal/errors';
import { type Digest, parseDigest } from '../digest.js';
import { MAX_LAYERS } from '../limits.js';
import { normalizePlatform, type Platform } from '../platform.js';
import { Json } from './json.js';

/** What the image says about running it: the `config` object of the OCI image config, checked. */
export interface ImageConfig {
  /** `NAME=value` lines; `undefined` when the image sets none. */
  readonly Env?: string[];
  readonly Entrypoint?: string[];
  readonly Cmd?: string[];
  /** `user`, `uid`, `user:group` or `uid:gid`; resolved against the image's own passwd file by whoever runs it. */
  readonly User?: string;
  readonly WorkingDir?: string;
  /** Such as `SIGTERM` or `15`. */
  readonly StopSignal?: string;
  /** Paths that Docker would make volumes of. */
  readonly Volumes?: string[];
  /** Such as `80/tcp`. */
  readonly ExposedPorts?: string[];
  readonly Labels?: Record<string, string>;
  /** How Docker looks whether a container of it is well. Kept and written, nothing here runs it. */
  readonly Healthcheck?: ImageHealthcheck;
  /** What Docker's builder runs commands in the shell form with. */
  readonly Shell?: string[];
  /** Steps of Docker's builder for images that are made on this one. */
  readonly OnBuild?: string[];
  /** Of Windows images: Cmd and Entrypoint are one command line already. */
  readonly ArgsEscaped?: boolean;
  /** Seconds that Docker waits between the stop signal and SIGKILL. */
  readonly StopTimeout?: number;
}

/** Docker's health check; times in nanoseconds, 0 or absent for Docker's default. */
export interface ImageHealthcheck {
  /** `['NONE']`, `['CMD', …]` or `['CMD-SHELL', text]`; absent or empty: the base's. */
  readonly Test?: string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** The fields of a config that can be set and taken away; by name, so that the compiler misses none. */
const FIELDS: Record<keyof ImageConfig, true> = {
  Env: true,
  Entrypoint: true,
  Cmd: true,
  User: true,
  WorkingDir: true,
  StopSignal: true,
  Volumes: true,
  ExposedPorts: true,
  Labels: true,
  Healthcheck: true,
  Shell: true,
  OnBuild: true,
  ArgsEscaped: true,
  StopTimeout: true,
};
export const CONFIG_FIELDS: readonly string[] = Object.keys(FIELDS);

export interface ImageConfigFile {
  readonly config: ImageConfig;
  /** `undefined` when the config names none (very old or foreign images). */
  readonly platform: Platform | undefined;
  /** Bottom first. */
  readonly diffIds: readonly Digest[];
  /** RFC 3339; `undefined` when not given. */
  readonly created: string | undefined;
}

/**
 * Parses an image config blob. Labels are kept as text and decide nothing.
 *
 * @throws {ImageError} CTR_IMAGE_INVALID when a field has another type than the specification's, an Env line has no "=" or a NUL occurs.
 * @see https://github.com/opencontainers/image-spec/blob/main/config.md
 */
export function parseImageConfig(bytes: Uint8Array, where = 'image config'): ImageConfigFile {
  const json = Json.parse(bytes, where).object();
  const rootfs = json.get('rootfs').object();
  if (rootfs.get('type').value !== 'layers') rootfs.get('type').fail('"layers"');
  const ids = rootfs.optional('diff_ids', (j) => j.array(MAX_LAYERS)) ?? [];
  return {
    config: json.optional('config', readConfig) ?? {},
    platform: readPlatform(json),
    diffIds: ids.map((j) => parseDigest(j.value, j.where)),
    created: json.optional('created', (j) => j.string()),
  };
}

function readPlatform(json: Json): Platform | undefined {
  const os = json.optional('os', (j) => j.string()) ?? '';
  const architecture = json.optional('architecture', (j) => j.string()) ?? '';
  const variant = json.optional('variant', (j) => j.string());
  return os === '' || architecture === '' ? undefined : normalizePlatform({ os, architecture, variant });
}

/** Docker writes sets as objects with empty values. */
const readSet = (json: Json): string[] => Object.keys(json.record((j) => j.value));

/** Also the check of a config that a caller gives to `create`. */
export function readConfig(json: Json): ImageConfig {
  json.object();
  return present({
    Env: json.optional('Env', readEnv),
    Entrypoint: json.optional('Entrypoint', (j) => j.strings()),
    Cmd: json.optional('Cmd', (j) => j.strings()),
    User: json.optional('User', (j) => j.text()),
    WorkingDir: json.optional('WorkingDir', (j) => j.text()),
    StopSignal: json.optional('StopSignal', (j) => j.text()),
    Volumes: json.optional('Volumes', readSet),
    ExposedPorts: json.optional('ExposedPorts', readSet),
    Labels: json.optional('Labels', (j) => j.record((v) => v.string())),
    Healthcheck: json.optional('Healthcheck', readHealthcheck),
    Shell: json.optional('Shell', (j) => j.strings()),
    OnBuild: json.optional('OnBuild', (j) => j.strings()),
    ArgsEscaped: json.optional('ArgsEscaped', (j) => j.boolean()),
    StopTimeout: json.optional('StopTimeout', (j) => j.size()),
  });
}

function readHealthcheck(json: Json): ImageHealthcheck {
  json.object();
  return present({
    Test: json.optional('Test', (j) => j.strings()),
    Interval: json.optional('Interval', (j) => j.size()),
    Timeout: json.optional('Timeout', (j) => j.size()),
    StartPeriod: json.optional('StartPeriod', (j) => j.size()),
    StartInterval: json.optional('StartInterval', (j) => j.size()),
    Retries: json.optional('Retries', (j) => j.size()),
  });
}

const present = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };

function readEnv(json: Json): string[] {
  const lines = json.strings();
  const wrong = lines.findIndex((line) => line.indexOf('=') < 1);
  if (wrong >= 0)
    throw new ImageError(
      'CTR_IMAGE_INVALID',
      `${json.where}[${wrong}] must have the form NAME=value, it is ${JSON.stringify(lines[wrong]?.slice(0, 60))}`,
    );
  return lines;
}

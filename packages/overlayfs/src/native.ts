// The only file that loads the addon. Types of the binding are written by hand; facts come from C++, sentences are made here.
import { fileURLToPath } from 'node:url';
import { assertLinux } from '@ctr/internal/errors';
import { loadAddon } from '@ctr/internal/native';

/** A system call of a step, on the pool; resolves with its result. Arguments: numbers, strings, bytes, null. */
export type StepCall = (...args: (number | string | Uint8Array | null)[]) => Promise<number>;

/** The calls that steps of this package consist of, native/src/step_calls.cc. */
export const STEP_CALLS = [
  'openat',
  'mkdirat',
  'symlinkat',
  'fchmodat',
  'fchownat',
  'mount',
  'umount2',
  'chdir',
  'open_tree',
  'move_mount',
  'fsopen',
  'fsconfig',
  'fsmount',
  'mount_setattr',
  'flock',
  'syncfs',
] as const;

export type StepBinding = Record<(typeof STEP_CALLS)[number], StepCall> & {
  /** close(2), at once */
  close(fd: number): void;
};

/** How a layer lies on disk: one file that is mounted, or a directory that is a layer itself. */
export type LayerForm = 'erofs' | 'dir';

/** What a layer's extraction came to, native/src/layer_stats.h. */
export interface NativeLayerStats {
  entries: number;
  bytes: number;
  ownersDropped: number;
  xattrsDropped: number;
  devicesSkipped: number;
  implicitDirectories: number;
  auxiliarySkipped: number;
  opaqueRoot: boolean;
  endMarker: boolean;
}

/** native/src/layer_builder.h; one call at a time. */
export interface LayerHandle {
  open(): Promise<void>;
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<NativeLayerStats>;
  abort(): Promise<void>;
}

/** native/src/layer_pipeline.h */
export interface PipelineHandle {
  open(): void;
  /** False: wait until `drained` is called, then call rest(). `undefined`: end() says what failed. */
  write(chunk: Uint8Array): boolean | undefined;
  /** Uncompressed bytes so far. */
  unpacked(): number;
  rest(): void;
  end(): Promise<NativeLayerStats & { digest: string; size: number; diffId: string }>;
  abort(): Promise<void>;
}

/** native/src/gzip_handle.cc; one call at a time. */
export interface GzipHandle {
  /** What came out so far; empty while nothing does. */
  write(chunk: Uint8Array): Promise<Buffer>;
  end(): Promise<{ rest: Buffer; diffId: string; digest: string; size: number }>;
}

/** Directories, top first, and how their owners are seen: [inside, outside, size, inside, …]. */
export interface PackedStack {
  paths: readonly string[];
  uid: Uint32Array | undefined;
  gid: Uint32Array | undefined;
}

/** native/src/directory_packer.h and upper_packer.h; one call at a time, and close() only between them. */
export interface PackHandle {
  /** Null at the end. */
  next(size: number): Promise<Buffer | null>;
  close(): void;
}

/** An inode as native/src/scan_directory.h finds it. */
export interface ScannedEntry {
  /** Bytes; empty for the directory itself. */
  name: Buffer;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  size: number;
  /** Device and inode number. */
  inode: string;
  major: number;
  minor: number;
  mtime: number;
  mtimeNs: number;
  /** Of a symbolic link. */
  target?: Buffer;
  xattrs: Readonly<Record<string, Buffer>>;
}

export type Binding = StepBinding & {
  LayerHandle: new (directory: string, form: LayerForm, userxattr: boolean, sync: boolean, limits: readonly number[]) => LayerHandle;
  PipelineHandle: new (
    directory: string,
    form: LayerForm,
    userxattr: boolean,
    sync: boolean,
    limits: readonly number[],
    maxRatio: number,
    digest: string,
    size: number,
    diffId: string,
    zlib: boolean,
    drained: () => void,
  ) => PipelineHandle;
  PackHandle: {
    new (directory: string, uid: number | null, gid: number | null, mtime: number | null): PackHandle;
    /** `except`: relative paths. */
    new (uppers: PackedStack, lowers: PackedStack, except: readonly string[]): PackHandle;
  };
  GzipHandle: new () => GzipHandle;
  /** What reads compressed layers here; 'none' where nothing does */
  decompressors(): { gzip: 'isa-l' | 'zlib' | 'none'; zstd: 'libzstd' | 'none'; sha256: boolean };
  /** fsopen(2), fsconfig(2), fsmount(2); through a loop device where the kernel mounts no file */
  mountErofs(path: string): Promise<{ fd: number; backing: 'file' | 'loop' }>;
  /** LOOP_CONFIGURE: frees itself when the descriptor and the mounts of it are gone. loop(4) */
  attachLoop(file: string): Promise<{ fd: number; name: string }>;
  /** FICLONE, else what is no hole */
  copySparse(from: string, to: string): Promise<void>;
  /** quotactl_fd(2), Q_XGETQSTATV */
  enforcesProjects(directory: string): Promise<boolean>;
  /** FS_IOC_FSSETXATTR and Q_SETQUOTA: the project's id */
  limitProject(parent: string, directory: string, bytes: number): Promise<number>;
  /** Q_SETQUOTA, unless files have the id */
  releaseProject(parent: string, id: number): Promise<void>;
  /** openat2(2), getdents64(2), statx(2), listxattr(2): the directory itself, then its entries in the order of bytes */
  scanDirectory(root: number, path: Uint8Array): Promise<ScannedEntry[]>;
  /** openat2(2): a descriptor of a regular file */
  openFileBelow(root: number, path: Uint8Array): Promise<number>;
  /** unlinkat(2) on everything, by descriptor */
  removeTree(path: string): Promise<void>;
  /** openat(2) and statx(2), one component at a time */
  readInLayers(layers: readonly string[], path: string, maxBytes: number): Promise<Buffer | null>;
};

/** dist/ and src/ both lie one step below the package's folder. */
const nativeDir = fileURLToPath(new URL('../native/', import.meta.url));
let loaded: Binding | undefined;

/** The addon, loaded at the first call. */
export function native(): Binding {
  if (loaded) return loaded;
  assertLinux('@ctr/overlayfs');
  loaded = loadAddon<Binding>(nativeDir, 'ctr_overlayfs');
  return loaded;
}

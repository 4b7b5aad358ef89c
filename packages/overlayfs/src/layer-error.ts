// The sentences for what native code reports by a word.
import { ImageError, SyscallError } from '@ctr/internal/errors';

/** Every reason for which native/src refuses a layer. */
const REASONS: Readonly<Record<string, string>> = {
  // tar_header.cc, tar_reader.cc
  checksum: 'the checksum of its header is wrong: this is no tar archive, or it is damaged',
  'bad-number': 'a number in its header is no octal number',
  'number-overflow': 'a number in its header does not fit into 63 bits',
  'negative-size': 'its size is negative',
  'lone-zero-block': 'a single block of zeros stands between entries, where two would end the archive',
  cut: 'the archive ends in the middle of it',
  'extended-without-entry': 'the archive ends after an extended header, before the entry it is for',
  'extended-twice': 'it has two extended headers of one kind',
  'extended-empty': 'it has an empty GNU long name',
  'two-names': 'its GNU and its PAX header give it different names',
  'entry-type': 'it is of an unknown kind',
  'size-without-data': 'it is of a kind that has no content, but claims a size',
  sparse: 'it is a sparse file of an unknown format',
  // tar_sparse.cc
  'sparse-map': 'the map of its sparse file is malformed',
  'sparse-blocks': 'a part of its sparse file is not made of whole blocks',
  owner: 'its owner is no valid user or group id',
  'device-number': 'its device number is out of range',
  // pax.cc
  'pax-record': 'a record of its PAX header is malformed',
  'pax-number': 'a number in its PAX header is malformed',
  'pax-nul': 'a name in its extended header contains a zero byte',
  'xattr-name': 'an extended attribute has no name',
  'global-header': 'a global PAX header changes all entries after it, which tools read differently',
  // entry_name.cc
  'empty-name': 'it has no name',
  'leaves-layer': 'its name contains ".."',
  'whiteout-name': 'a name that begins with ".wh." must hide one plain name',
  // entry_writer.cc
  'root-entry': 'it would replace the root directory',
  parent: 'what its name calls a directory is none',
  'link-target': 'it links to what nothing can be linked to',
  'link-missing': 'it links to a file that this layer does not have',
  'whiteout-type': 'a whiteout must be an empty file',
  'whiteout-device': 'a device 0:0 would act as a whiteout',
  // decompressor.cc, sha256.cc, layer_pipeline.cc
  'gzip-damaged': 'its gzip data is damaged',
  'gzip-cut': 'its gzip data ends in the middle',
  'zstd-damaged': 'its zstd data is damaged, or asks for more than 128 MiB of memory',
  'zstd-cut': 'its zstd data ends in the middle',
  'no-decompressor': 'nothing here reads its compression: zstd needs libzstd.so.1',
  'no-compressor': 'nothing here writes gzip: this Node exports no zlib',
  'no-openssl': 'this Node exports no OpenSSL to hash with',
  'blob-size': 'it is not as long as it should be',
  'blob-digest': 'its digest is not what it should be',
  'diff-id': 'it does not unpack to what the image config says',
  // limits
  'sparse-regions': 'the layer has more than 250,000 parts of sparse files',
  'sparse-chunks': 'the sparse files of the layer are too large for parts so small: pack the layer without --sparse',
  ratio: 'it unpacks to more than the limit times its size',
  bytes: 'the layer is larger than the limit',
  entries: 'the layer has more entries than the limit',
  'path-length': 'its name or target is longer than the limit',
  'component-length': 'a component of its name is longer than 255 bytes',
  depth: 'it lies deeper than the limit',
  'header-size': 'its extended header is larger than the limit',
  'global-headers': 'the archive has more than 100 global headers',
  'xattr-name-length': 'the name of an extended attribute is longer than 255 bytes',
  'xattr-size': 'an extended attribute is larger than the limit',
  'xattr-count': 'it has more extended attributes than the limit',
  // directory_packer.cc
  shrank: 'it became shorter while it was read',
  // read_in_layers.cc
  'not-regular': 'it is no regular file',
  'too-large': 'it is larger than the limit',
  'too-many-links': 'it leads through too many links',
  'not-directory': 'its path leads through something that is no directory',
};

const DIGESTS: ReadonlySet<string> = new Set(['blob-size', 'blob-digest', 'diff-id']);
const LIMITS: ReadonlySet<string> = new Set(['too-large', 'too-many-links']);

interface NativeFacts {
  kind?: string;
  reason?: string;
  entry?: string;
  errno?: number;
  syscall?: string;
  path?: string;
}

/** Long or strange names are shown short and in one line. */
const quote = (name: string): string => JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);

/** Turns what the addon rejected with into an ImageError or a SyscallError that says what we were doing. */
export function errorOf(error: unknown, doing: string, expected: { digest?: string; diffId?: string } = {}): Error {
  const f = error as NativeFacts;
  if (typeof f.errno === 'number' && typeof f.syscall === 'string')
    return new SyscallError({ errno: f.errno, syscall: f.syscall, path: f.path, doing }, { cause: error });
  if (f.kind === undefined || f.reason === undefined) return error as Error;
  const limit = f.kind === 'layer-limit' || LIMITS.has(f.reason);
  if (DIGESTS.has(f.reason)) {
    const digest = f.reason === 'diff-id' ? expected.diffId : expected.digest;
    const found = digest && f.entry ? `: expected ${digest}, found ${f.entry}` : '';
    return new ImageError(
      'CTR_IMAGE_DIGEST_MISMATCH',
      `${doing}: the layer: ${REASONS[f.reason]}${found}`,
      digest ? { digest } : undefined,
    );
  }
  const what = f.kind === 'read' ? '' : f.entry ? `the entry ${quote(f.entry)}: ` : 'the archive: ';
  return new ImageError(limit ? 'CTR_IMAGE_LIMIT' : 'CTR_IMAGE_INVALID', `${doing}: ${what}${REASONS[f.reason] ?? f.reason}`);
}

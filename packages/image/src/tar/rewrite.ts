// Gives an entry of an archive another name, or makes a link of it, and leaves everything else as it is: attributes, times, owners.
import { encodeNames, paxRecord } from './header.js';
import { BLOCK, badTar, parseHeader, paxRecordsOf } from './parse.js';
import type { TarMember } from './read.js';

/** What changes; names are bytes, one to a character. */
export interface Rewrite {
  path: string;
  /** Set to make a hard link to this path of the archive: it has no content. */
  linkTo?: string;
}

const NAME_KEYS = new Set(['path', 'linkpath', 'GNU.sparse.name', 'size']);

/** The header blocks of the changed entry. */
export function rewrite(member: TarMember, change: Rewrite): Uint8Array {
  const { records, header } = split(Buffer.from(member.blocks));
  const path = change.path || '.';
  const name = member.type === '5' ? `${path}/` : path;
  const link = change.linkTo ?? member.target;
  const keep = records.filter(({ key }) => !NAME_KEYS.has(key) && (change.linkTo === undefined || !key.startsWith('GNU.sparse.')));
  const sized = change.linkTo === undefined ? records.filter(({ key }) => key === 'size') : [];
  const sparse = change.linkTo === undefined && records.some(({ key }) => key === 'GNU.sparse.name');
  const body = Buffer.concat([
    ...[...keep, ...sized].map((r) => r.bytes),
    ...(sparse ? [paxRecord('GNU.sparse.name', name)] : fits(name) ? [] : [paxRecord('path', name)]),
    ...(fits(link) ? [] : [paxRecord('linkpath', link)]),
  ]);
  const changed = encodeNames(header, {
    path: name,
    target: link,
    ...(change.linkTo === undefined ? {} : { type: '1', size: 0 }),
  });
  return Buffer.concat([extension(body), changed]);
}

const fits = (name: string): boolean => name.length <= 100 && /^[\x20-\x7e]*$/.test(name);

/** The PAX records before a member, and its own header with what belongs to it. */
function split(blocks: Buffer): { records: { key: string; bytes: Buffer }[]; header: Buffer } {
  const records = new Map<string, { key: string; bytes: Buffer }>();
  let at = 0;
  for (;;) {
    const { type, size } = parseHeader(blocks.subarray(at, at + BLOCK));
    if (!'xLK'.includes(type)) return { records: [...records.values()], header: blocks.subarray(at) };
    const body = blocks.subarray(at + BLOCK, at + BLOCK + size);
    if (type === 'x') for (const { key, bytes } of paxRecordsOf(body)) records.set(key, { key, bytes });
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (at >= blocks.length) throw badTar('an extended header belongs to no member');
  }
}

function extension(body: Buffer): Buffer {
  if (body.length === 0) return body;
  const head = Buffer.alloc(BLOCK);
  head.write(`${'0'.repeat(7)}\0`, 108, 'latin1');
  head.write(`${'0'.repeat(7)}\0`, 116, 'latin1');
  head.write(`${'0'.repeat(7)}\0`, 100, 'latin1');
  head.write(`${'0'.repeat(11)}\0`, 136, 'latin1');
  head.write('ustar\u000000', 257, 'latin1');
  const header = encodeNames(head, { path: 'PaxHeader', target: '', type: 'x', size: body.length });
  return Buffer.concat([header, body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)]);
}

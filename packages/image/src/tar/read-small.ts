// Small files, read whole, two turns through the pool for each: there every turn costs more than the call.
import { closeSync, constants, fstatSync, open, read } from 'node:fs';

/** A file's content, and its permissions as they were when it was read. */
export interface SmallFile {
  mode: number;
  content: Buffer;
}

/** What is read at once; larger files are streamed. */
export const SMALL_FILE = 64 * 1024;
/** The last name is no link, and neither a FIFO nor a terminal that came in its place holds us up. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

type Settle = (error: Error | null, file?: SmallFile) => void;

/** Resolves with `undefined` for a file that is not small or changes while it is read, and for what is no regular file any more. */
export function readSmallFile(path: string): Promise<SmallFile | undefined> {
  return new Promise((resolve, reject) => {
    open(path, FLAGS, (error, fd) => {
      if (error !== null) return reject(error);
      readOpened(fd, (failed, file) => {
        closeSync(fd);
        if (failed === null) resolve(file);
        else reject(failed);
      });
    });
  });
}

/** Of a file that was opened just now neither its facts nor letting it go waits for a disk or a network. */
function readOpened(fd: number, settle: Settle): void {
  const stat = fstatSync(fd);
  if (!stat.isFile() || stat.size > SMALL_FILE) {
    settle(null);
    return;
  }
  // One byte more than there should be: a full answer is a file that grew.
  const content = Buffer.allocUnsafe(stat.size + 1);
  read(fd, content, 0, content.length, 0, (failed, bytes) =>
    settle(failed, bytes === stat.size ? { mode: stat.mode & 0o7777, content: content.subarray(0, bytes) } : undefined),
  );
}

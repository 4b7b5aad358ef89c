// The store of images that is used when the caller names none: opened once.
import { ImageStore } from '@ctr/image';

let defaultStore: Promise<ImageStore> | undefined;

/** A failure to open it is not remembered. */
export function openDefaultStore(): Promise<ImageStore> {
  const opening = defaultStore ?? ImageStore.open();
  defaultStore = opening;
  opening.catch(() => {
    defaultStore = undefined;
  });
  return opening;
}

// The interface through which a layer's files are made. This package makes none itself: @ctr/overlayfs has an object that fits.

/** Takes one layer as uncompressed tar bytes, in any split. */
export interface LayerWriter {
  /** Takes the next bytes; resolves when it can take more. It may keep the memory until then, not longer. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Resolves when the whole tree is made, and durable as far as the writer promises. When the result is an object with
   * `opaqueRoot: true`, the layer hides everything below it, and `unpack` leaves the layers below out.
   */
  end(): Promise<unknown>;
  /** Stops and lets go of everything; what was made so far is removed by the store. */
  abort(): Promise<void>;
}

/** Opens a writer for each layer. */
export interface LayerSink {
  /**
   * Names the form in which this sink makes layers, 1 to 16 of a-z, 0-9 and "-": layers of one form are not taken for those of
   * another. Default: undefined, the form of a store that knows one only. A sink that writes `user.overlay.*` marks in a
   * store where another writes `trusted.overlay.*` must have a form of its own.
   */
  readonly form?: string | undefined;
  /**
   * @param directory - An empty directory (mode 0755) in a tree that only this user can enter. The layer's root directory becomes
   * this one; it is moved to its place once the layer is complete and verified.
   */
  open(directory: string): LayerWriter | Promise<LayerWriter>;
}

// @ctr/overlayfs: layers into one root filesystem, as detached mounts; layers written safely.
export { AbortError, CleanupError, CtrError, ImageError, InvalidArgumentError, SyscallError, UnsupportedError } from '@ctr/internal/errors';
export { Fd } from '@ctr/internal/fd';
export type { Arg, Bytes, Named, Slot, Step, StringList } from '@ctr/internal/steps';
export { type BindRootOptions, describeBindRoot } from './bind-root.js';
export { type DescribedRoot, describeOverlay } from './describe-overlay.js';
export { type Change, type DiffOptions, diffUpper, type EntryType } from './diff-upper.js';
export { type ReadFileOptions, readFileInRoot, removeTree } from './files.js';
export { type GzipLayer, gzipLayer, type LayerFacts } from './gzip-layer.js';
export { describeHostRoot, type HostRootOptions } from './host-root.js';
export type { IdMaps, IdRange } from './id-maps.js';
export type { LayerLimits } from './layer-limits.js';
export { LayerMounts } from './layer-mounts.js';
export {
  type Decompressors,
  LayerPipeline,
  type LayerPipelineOptions,
  type LayerPipelineStats,
  openLayerPipeline,
  pipelineDecompressors,
} from './layer-pipeline.js';
export { type LayerSinkOptions, layerSink, type OverlayLayerSink, type SinkBlob } from './layer-sink.js';
export { type LayerStats, LayerWriter, type LayerWriterOptions, openLayerWriter } from './layer-writer.js';
export { describeMakeUpper } from './make-upper.js';
export { chooseLayerForm, LAYER_FILE, type LayerFormChoice, mountLayer } from './mount-layer.js';
export { mountOverlay } from './mount-overlay.js';
export type { LayerForm } from './native.js';
export type { OverlayOptions, RootFacts } from './overlay-options.js';
export { type PackDirectoryOptions, packDirectory } from './pack-directory.js';
export { packUpper } from './pack-upper.js';
export { describeParents, mountParents, type ParentFacts, type Parents, writeParents } from './parents.js';
export { type OverlayProbe, probeOverlay } from './probe.js';
export { describeRemoveUpper } from './remove-upper.js';
export {
  chooseUpperLimit,
  makeSizedUpper,
  SizedUpper,
  type SizedUpperOptions,
  type UpperLimit,
  type UpperLimitChoice,
} from './sized-upper.js';
export { openWorkspace, type Snapshot, Workspace, type WorkspaceOptions } from './workspace.js';

{
  'variables': { 'isal_archive%': '' },
  'target_defaults': {
    'cflags': ['-Wall', '-Wextra', '-Werror', '-fvisibility=hidden', '-ffunction-sections', '-fdata-sections'],
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-exceptions', '-fno-rtti'],
    'cflags_cc': ['-std=c++20', '-fexceptions', '-fvisibility-inlines-hidden'],
    'ldflags': ['-Wl,--gc-sections', '-Wl,-z,relro,-z,now', '-Wl,-z,noexecstack'],
    'include_dirs': ['../../../internal/native'],
    'configurations': {
      'Release': { 'cflags!': ['-O3'], 'cflags': ['-O2', '-g1'] },
      'Debug': { 'cflags': ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined'], 'ldflags': ['-fsanitize=address,undefined'] }
    }
  },
  'targets': [{
    'target_name': 'ctr_overlayfs',
    'sources': [
      'src/addon.cc',
      'src/step_calls.cc',
      'src/layer_directory.cc',
      'src/layer_extractor.cc',
      'src/layer_tree.cc',
      'src/layer_handles.cc',
      'src/layer_pipeline.cc',
      'src/decompressor.cc',
      'src/isal_gzip.cc',
      'src/zlib_gzip.cc',
      'src/zstd_frames.cc',
      'src/sha256.cc',
      'src/erofs_image.cc',
      'src/erofs_layer.cc',
      'src/erofs_mount.cc',
      'src/loop_device.cc',
      'src/sparse_copy.cc',
      'src/project_quota.cc',
      'src/sized_upper.cc',
      'src/tar_reader.cc',
      'src/tar_header.cc',
      'src/tar_sparse.cc',
      'src/pax.cc',
      'src/entry_name.cc',
      'src/entry_writer.cc',
      'src/inode_metadata.cc',
      'src/root_dir.cc',
      'src/read_in_layers.cc',
      'src/remove_tree.cc',
      'src/scan_directory.cc',
      'src/directory_names.cc',
      'src/inode_xattrs.cc',
      'src/tar_writer.cc',
      'src/directory_packer.cc',
      'src/pack_handle.cc',
      '../../../internal/native/library_floor.cc'
    ],
    'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
    'conditions': [['isal_archive!=""', { 'defines': ['CTR_ISAL_LINKED'], 'libraries': ['<(isal_archive)'] }]],
    'dependencies': ['<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except']
  }]
}

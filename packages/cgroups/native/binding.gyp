{
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
    'target_name': 'ctr_cgroups',
    'sources': ['src/addon.cc', 'src/device_program.cc', '../../../internal/native/library_floor.cc'],
    'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
    'dependencies': ['<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except']
  }]
}

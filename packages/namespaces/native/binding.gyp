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
  'targets': [
    {
      'target_name': 'ctr_namespaces',
      'sources': [
        'src/addon.cc', 'src/monitor_handle.cc', 'src/monitor_link.cc', 'src/monitor_spawn.cc', 'src/fd_watcher.cc',
        'src/namespace_calls.cc', 'src/node_lacks.cc', 'src/seccomp_notify.cc', 'src/send_fds.cc'
      ],
      # The third: in a worker thread that is being terminated nothing can be thrown, and must not end the process.
      'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      'dependencies': ['<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except']
    },
    {
      # The monitor: static and without a C library, so that it runs on any system and starts in microseconds.
      # An action and not an executable target, since gyp would add Node's own flags and libraries.
      'target_name': 'ctr-init',
      'type': 'none',
      'variables': {
        'init_cxx': '<!(node -p "process.env.CXX || \'g++\'")',
        'init_sources': [
          'init/main.cc', 'init/monitor.cc', 'init/requests.cc', 'init/lifecycle.cc', 'init/events.cc',
          'init/launch.cc', 'init/steps.cc', 'init/decode.cc', 'init/listener.cc', 'init/remove_tree.cc',
          'init/make_target.cc', 'init/copy_tree.cc', 'init/reaper.cc', 'init/kept.cc', 'init/spares.cc',
          'init/message.cc', 'init/park.cc'
        ]
      },
      'actions': [
        {
          'action_name': 'ctr_init',
          'inputs': [
            '<@(init_sources)', 'init/sys.h', 'init/plan.h', 'init/steps.h', 'init/launch.h', 'init/container.h', 'init/monitor.h',
            'init/reaper.h', 'init/kept.h', 'init/spares.h', 'init/message.h', 'init/park.h'
          ],
          'outputs': ['<(PRODUCT_DIR)/ctr-init'],
          'action': [
            '<(init_cxx)', '-std=c++20', '-Os', '-ffreestanding', '-fno-exceptions', '-fno-rtti', '-fno-stack-protector',
            '-fno-asynchronous-unwind-tables', '-fno-threadsafe-statics', '-fno-tree-loop-distribute-patterns',
            '-static', '-nostdlib', '-nostartfiles', '-no-pie', '-fno-pie', '-Wl,-z,noexecstack', '-s',
            '-Wall', '-Wextra', '-Werror', '-o', '<@(_outputs)', '<@(init_sources)'
          ],
          'message': 'static ctr-init'
        }
      ]
    }
  ]
}

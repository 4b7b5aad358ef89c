// What Node's end of a monitor consists of, and how it ends: private to MonitorHandle.
#pragma once
#include <uv.h>

#include "monitor_handle.h"

namespace ctr {

struct MonitorHandle::Link {
  /** Starts both polls. Throws SyscallFailure; nothing is left then. */
  static Link* open(napi_env env, SpawnedMonitor monitor, MonitorHandle* owner);

  /** Listens for messages, and for room in the socket when `writable`. */
  void pollControl(bool writable);
  /** Nobody listens any more: the monitor is told to end, is waited for a short while and reaped. */
  void letGo();
  /** The monitor is dead, or was waited for long enough. */
  void close();

  SpawnedMonitor monitor;
  MonitorHandle* owner = nullptr;
  uv_poll_t control, exit;
  uv_timer_t patience;
  bool want_writable = false;

 private:
  static constexpr int kHandles = 3;
  static void closed(uv_handle_t* handle);
  void reap();

  int open_handles = kHandles;
  bool closing = false;
  napi_async_cleanup_hook_handle hook = nullptr;
};

}  // namespace ctr

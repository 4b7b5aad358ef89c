// A uv_poll on the control socket and one on the monitor's pidfd: nothing in here blocks or starts a thread.
// The handles belong to libuv until it has closed them, so they live here and not in the JS object.
#include "monitor_link.h"

#include <sys/wait.h>

#include "syscall_failure.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace ctr {
namespace {

/** How long the end of a worker thread, or of Node, waits for the monitor to kill and clean up: seldom more than a few milliseconds. */
constexpr std::uint64_t kPatienceMs = 1000;

uv_handle_t* asHandle(void* handle) { return static_cast<uv_handle_t*>(handle); }

}  // namespace

MonitorHandle::Link* MonitorHandle::Link::open(napi_env env, SpawnedMonitor monitor, MonitorHandle* owner) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  auto* link = new Link{};
  link->monitor = std::move(monitor);
  // Both fail only for a descriptor that libuv watches already, which a new one is not.
  uv_poll_init(loop, &link->control, link->monitor.control.get());
  uv_poll_init(loop, &link->exit, link->monitor.pidfd.get());
  uv_timer_init(loop, &link->patience);
  link->control.data = link->exit.data = link->patience.data = link;
  link->owner = owner;
  link->pollControl(false);
  uv_poll_start(&link->exit, UV_READABLE, [](uv_poll_t* p, int, int) {
    auto* self = static_cast<Link*>(p->data);
    self->reap();
    if (self->owner != nullptr) self->owner->onExit();
    self->close();
  });
  uv_unref(asHandle(&link->control));
  uv_unref(asHandle(&link->exit));
  // A worker thread that ends lets go of its monitor: its containers die with it.
  napi_add_async_cleanup_hook(env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Link*>(data)->letGo(); }, link, &link->hook);
  return link;
}

void MonitorHandle::Link::pollControl(bool writable) {
  want_writable = writable;
  uv_poll_start(&control, UV_READABLE | (writable ? UV_WRITABLE : 0), [](uv_poll_t* p, int status, int events) {
    auto* self = static_cast<Link*>(p->data);
    if (self->owner != nullptr) self->owner->onControl(status < 0 ? UV_READABLE : events);
  });
}

void MonitorHandle::Link::reap() {
  siginfo_t info = {};
  retry([&] { return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(monitor.pidfd.get()), &info, WEXITED | WNOHANG); });
}

void MonitorHandle::Link::letGo() {
  if (owner != nullptr) owner->link_ = nullptr;
  owner = nullptr;
  if (closing) return;
  uv_poll_stop(&control);
  monitor.lifeline.reset();
  monitor.control.reset();
  uv_ref(asHandle(&exit));
  uv_timer_start(&patience, [](uv_timer_t* t) { static_cast<Link*>(t->data)->close(); }, kPatienceMs, 0);
}

void MonitorHandle::Link::close() {
  if (closing) return;
  closing = true;
  if (owner != nullptr) owner->link_ = nullptr;
  owner = nullptr;
  uv_close(asHandle(&control), closed);
  uv_close(asHandle(&exit), closed);
  uv_close(asHandle(&patience), closed);
  monitor = SpawnedMonitor{};
}

void MonitorHandle::Link::closed(uv_handle_t* handle) {
  auto* link = static_cast<Link*>(handle->data);
  if (--link->open_handles > 0) return;
  if (link->hook != nullptr) napi_remove_async_cleanup_hook(link->hook);
  delete link;
}

}  // namespace ctr

// Threads and locks by libuv, which the Node binary exports: the C++ library's own would tie the addon to the C library
// that it was built with (pthread_create of glibc 2.34, condition_variable of gcc 12).
#pragma once
#include <sched.h>
#include <sys/resource.h>
#include <uv.h>

#include <functional>
#include <memory>
#include <new>

namespace ctr {

class Mutex {
 public:
  Mutex() {
    if (uv_mutex_init(&mutex_) != 0) throw std::bad_alloc();
  }
  ~Mutex() { uv_mutex_destroy(&mutex_); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

 private:
  friend class Locked;
  friend class Condition;
  uv_mutex_t mutex_;
};

/** Holds a mutex until the end of the block. */
class Locked {
 public:
  explicit Locked(Mutex& mutex) : mutex_(mutex.mutex_) { uv_mutex_lock(&mutex_); }
  ~Locked() { uv_mutex_unlock(&mutex_); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  uv_mutex_t& mutex_;
};

class Condition {
 public:
  Condition() {
    if (uv_cond_init(&cond_) != 0) throw std::bad_alloc();
  }
  ~Condition() { uv_cond_destroy(&cond_); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /** With the mutex held. May return without a reason. */
  void wait(Mutex& mutex) { uv_cond_wait(&cond_, &mutex.mutex_); }
  void signal() { uv_cond_signal(&cond_); }
  void broadcast() { uv_cond_broadcast(&cond_); }

 private:
  uv_cond_t cond_;
};

class Thread {
 public:
  Thread() = default;
  ~Thread() { join(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  /** libuv blocks no signals for it; Node handles its own on a thread of its own, whichever takes them. */
  void start(std::function<void()> body) {
    body_ = std::move(body);
    const auto run = [](void* self) {
      // To Linux a thread has a niceness of its own: whoever computes for long makes way for an event loop that has a moment's work.
      // Where that is refused, it is only less polite.
      ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + kNiceness);
      // And it does not take the processor from who woke it, which is the event loop handing on a piece. sched(7), SCHED_BATCH
      const sched_param none{};
      ::sched_setscheduler(0, SCHED_BATCH, &none);
      static_cast<Thread*>(self)->body_();
    };
    if (uv_thread_create(&thread_, run, this) != 0) throw std::bad_alloc();
    running_ = true;
  }
  void join() {
    if (!running_) return;
    running_ = false;
    uv_thread_join(&thread_);
  }

 private:
  static constexpr int kNiceness = 5;

  std::function<void()> body_;
  uv_thread_t thread_;
  bool running_ = false;
};

/** A function that the Node binary exports, or null. */
template <typename F>
F exportedByNode(const char* name) {
  static uv_lib_t self;
  static const bool opened = uv_dlopen(nullptr, &self) == 0;
  void* found = nullptr;
  if (!opened || uv_dlsym(&self, name, &found) != 0) return nullptr;
  return reinterpret_cast<F>(found);
}

}  // namespace ctr

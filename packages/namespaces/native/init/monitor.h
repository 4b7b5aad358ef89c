// The monitor: one single-threaded process beside Node that makes, watches, kills and cleans up containers.
#pragma once
#include "container.h"
#include "kept.h"
#include "spares.h"

namespace ctr {

class Monitor {
 public:
  Monitor(int control, int lifeline) : control_(control), lifeline_(lifeline) {}
  /** Runs until Node is gone and nothing of any container is left. */
  void run();

 private:
  static constexpr u32 kGivenUp = 64;
  static constexpr int kLookMs = 200;

  // monitor.cc: the event loop
  bool start();
  void loop();
  void dispatch(const Watch& watch);
  void onControl();
  void onOwnerGone();
  void watch(int fd, Watch* watch);
  void unwatch(int fd);
  int nextTimeoutMs() const;
  void retryCleanups();
  void makeSpare();

  // requests.cc: messages from Node; errors are positive errnos, 0 is none
  i32 receive(Arena& arena, MessageHeader& header, u32& size);
  i32 decodeMessage(Arena& arena, const MessageHeader& header, u32 size, Container*& container);
  void handle(Arena* arena, const MessageHeader& header, u32 size);
  Failure prepare(Arena& arena, const MessageHeader& header);
  void startProcess(Arena* arena, const MessageHeader& header, Container* c);
  void startHold(Arena* arena, Container* c);
  void refuse(u32 id, i32 error);
  void release(u32 id);
  void kill(u32 id);
  void withdraw(u32 id);
  bool takeBack(u32 id);
  void onLifeline();
  Arena* takeArena();
  void giveArena(Arena* arena);
  Container* newContainer(u32 id, u32 after_size);
  void freeContainer(Container* c);

  // lifecycle.cc: from the report to the last clean-up
  void onReport(Container* c);
  void onParked(Container* c);
  void letGoOfArena(Container* c);
  void onReportEnd(Container* c);
  void adoptEntered(Container* c);
  void onProcessExit(Container* c);
  void endStopped();
  void fail(Container* c, Stage stage, Failure failure);
  void finish(Container* c);
  void cleanup(Container* c);
  bool cleanupStepDone(Container* c, i64 result);
  bool startRemoval(Container* c, const WireStep& step);
  void finishCleanup(Container* c);
  void onHelperExit(Container* c);
  void killAll(Container* c);
  void runKillSteps(const Container& c);

  // events.cc: messages to Node
  void sendEvent(EventHeader& event, int fd, const void* payload, u32 size);
  EventHeader event(EventKind kind, const Container& c) const;
  void collect(const Container& c);
  static void appendFile(void* self, u32 step, const char* path);

  int control_, lifeline_;
  OwnedFd epoll_, self_;
  Watch control_watch_{Watch::Kind::control, nullptr}, lifeline_watch_{Watch::Kind::lifeline, nullptr}, spare_watch_{Watch::Kind::spare, nullptr};
  bool owner_gone_ = false;
  bool control_paused_ = false;
  Container* containers_ = nullptr;
  u32 launching_ = 0;   // containers between clone and exec
  u64 look_at_ns_ = 0;  // when to look after those next
  u32 retrying_ = 0;  // containers whose clean-up waits for another try
  Arenas arenas_ = {};
  Arena* free_arenas_ = nullptr;
  ChildNote* notes_ = nullptr;  // one for each arena
  Kept kept_;
  Spares spares_;
  u32 newest_id_ = 0;  // of the plans that arrived: Node counts up
  u32 given_up_count_ = 0;
  u32 given_up_[kGivenUp];  // starts whose plans have not arrived yet
  u32 payload_size_ = 0;
  alignas(8) u8 payload_[48 * 1024];
};

/** Of a launch that has begun and not ended. */
inline bool mayHaveProcesses(const Container& c) { return c.state <= State::dying; }

u64 monotonicNs();

}  // namespace ctr

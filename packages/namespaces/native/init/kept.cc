// See kept.h.
#include "kept.h"

namespace ctr {

Kept::Set* Kept::find(u32 key) {
  if (key == 0) return nullptr;
  for (Set& set : sets_)
    if (set.key == key) return &set;
  return nullptr;
}

void Kept::close(Set& set) {
  for (u32 i = 0; i < set.count; i++) syscall6(__NR_close, static_cast<u64>(set.held[i].fd));
  set.key = 0;
  set.count = 0;
}

bool Kept::lend(u32 key, Slots& slots) {
  Set* set = find(key);
  if (set == nullptr) return false;
  for (u32 i = 0; i < set->count; i++)
    if (slots.fd[set->held[i].slot] >= 0) return false;
  for (u32 i = 0; i < set->count; i++) slots.fd[set->held[i].slot] = set->held[i].fd;
  set->used_at = ++uses_;
  return true;
}

void Kept::take(u32 key, u32 of, const Slots& before, const Slots& now) {
  Set* place = find(key);
  if (key == 0 || place != nullptr) return;
  u32 opened = 0;
  for (u32 i = 0; i < kMaxSlots; i++) opened += now.fd[i] >= 0 && before.fd[i] < 0;
  if (opened == 0 || opened > kMost) return;
  for (Set& set : sets_)
    if (place == nullptr || (place->key != 0 && (set.key == 0 || set.used_at < place->used_at))) place = &set;
  close(*place);
  for (u32 i = 0; i < kMaxSlots; i++)
    if (now.fd[i] >= 0 && before.fd[i] < 0) place->held[place->count++] = {i, now.fd[i]};
  place->key = key;
  place->of = of;
  place->used_at = ++uses_;
}

void Kept::leaveOut(u32 key, Slots& slots) const {
  if (key == 0) return;
  for (const Set& set : sets_)
    for (u32 i = 0; set.key == key && i < set.count; i++)
      if (int& fd = slots.fd[set.held[i].slot]; fd == set.held[i].fd) fd = -1;
}

void Kept::forget(u32 of) {
  for (Set& set : sets_)
    if (set.key != 0 && set.of == of) close(set);
}

}  // namespace ctr

// Defines, for this addon alone, the symbols that newer compilers' headers reach for by themselves, so that a file
// built on a new system still loads where Node does: glibc 2.28, libstdc++ of gcc 8. Add it to an addon's sources
// when `readelf -V` shows GLIBC_2.32 or GLIBCXX_3.4.29.
#include <new>

/** <ext/atomicity.h> skips atomic instructions when this is set (glibc 2.32). An addon always has libuv's threads beside it. */
extern "C" {
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}

/** <bits/new_allocator.h> calls it for an absurd size (GLIBCXX_3.4.29). The label is its mangled name: std:: is not ours to extend. */
extern "C" [[noreturn]] __attribute__((visibility("hidden"))) void ctrThrowBadArrayNewLength() __asm__("_ZSt28__throw_bad_array_new_lengthv");
extern "C" void ctrThrowBadArrayNewLength() { throw std::bad_alloc(); }

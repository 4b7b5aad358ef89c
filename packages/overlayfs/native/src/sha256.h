// SHA-256 by the OpenSSL that the Node binary exports: with the processor's own instructions where it has them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace ctr {

class Sha256 {
 public:
  /** Throws LayerFailure when this Node exports no OpenSSL. */
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const uint8_t* bytes, size_t size);
  /** "sha256:…" */
  std::string digest();

  static bool present();

 private:
  void* context_;
};

}  // namespace ctr

#include "sha256.h"

#include <openssl/evp.h>

#include <new>

#include "layer_failure.h"
#include "uv_sync.h"

namespace ctr {
namespace {

struct Evp {
  decltype(&::EVP_MD_CTX_new) create;
  decltype(&::EVP_MD_CTX_free) destroy;
  decltype(&::EVP_sha256) sha256;
  decltype(&::EVP_DigestInit_ex) init;
  decltype(&::EVP_DigestUpdate) update;
  decltype(&::EVP_DigestFinal_ex) final;

  static const Evp& get() {
    static const Evp found = [] {
      Evp e{};
      const auto find = [](auto& slot, const char* name) { slot = exportedByNode<std::decay_t<decltype(slot)>>(name); };
      find(e.create, "EVP_MD_CTX_new");
      find(e.destroy, "EVP_MD_CTX_free");
      find(e.sha256, "EVP_sha256");
      find(e.init, "EVP_DigestInit_ex");
      find(e.update, "EVP_DigestUpdate");
      find(e.final, "EVP_DigestFinal_ex");
      return e;
    }();
    return found;
  }
};

EVP_MD_CTX* contextOf(void* context) { return static_cast<EVP_MD_CTX*>(context); }

}  // namespace

bool Sha256::present() {
  const Evp& e = Evp::get();
  return e.create != nullptr && e.destroy != nullptr && e.sha256 != nullptr && e.init != nullptr && e.update != nullptr && e.final != nullptr;
}

Sha256::Sha256() : context_(nullptr) {
  if (!present()) refuse("no-openssl");
  context_ = Evp::get().create();
  if (context_ == nullptr || Evp::get().init(contextOf(context_), Evp::get().sha256(), nullptr) != 1) throw std::bad_alloc();
}

Sha256::~Sha256() { Evp::get().destroy(contextOf(context_)); }

void Sha256::update(const uint8_t* bytes, size_t size) { Evp::get().update(contextOf(context_), bytes, size); }

std::string Sha256::digest() {
  uint8_t raw[32];
  Evp::get().final(contextOf(context_), raw, nullptr);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "sha256:";
  for (const uint8_t b : raw) {
    out += kHex[b >> 4];
    out += kHex[b & 15];
  }
  return out;
}

}  // namespace ctr

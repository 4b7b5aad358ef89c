// A streaming tar reader: bytes in, in any split; whole entries out. It keeps one block and one extended header, never a body.
//
//   header --x g L K--> extended --full--> padding -> header
//   header --entry----> body -----full--> padding -> header
//   header --sparse---> map --complete-> body
//   header --2 zero blocks--> ended (the rest of the stream is counted and ignored, as GNU tar and Go do)
#pragma once
#include <array>
#include <cstddef>
#include <optional>
#include <string>

#include "layer_limits.h"
#include "pax.h"
#include "tar_entry.h"
#include "tar_header.h"

namespace ctr {

class TarReader {
 public:
  TarReader(EntrySink& sink, const Limits& limits) : sink_(sink), limits_(limits) {}

  /** Reads the next bytes. Throws LayerFailure, or what the sink throws; the reader is then of no further use. */
  void write(const uint8_t* bytes, size_t size);

  /**
   * The stream is over. Throws when that is inside an entry or between an extended header and its entry. A missing end
   * marker at an entry's border is tolerated, as GNU tar and Go tolerate it: the digest covers what is there.
   */
  void end() const;

  bool sawEndMarker() const { return state_ == State::ended; }
  uint64_t entries() const { return entries_; }

 private:
  enum class State { header, extended, sparse_block, sparse_text, body, padding, ended };

  size_t takeHeader(const uint8_t* bytes, size_t size);
  size_t takeExtended(const uint8_t* bytes, size_t size);
  size_t takeBody(const uint8_t* bytes, size_t size);
  size_t takePadding(size_t size);
  size_t takeSparseText(const uint8_t* bytes, size_t size);
  void onBlock();
  void onZeroBlock();
  void onSparseBlock();
  void beginSparse(const SparseNumbers& numbers, uint64_t at);
  void beginBody(TarEntry&& entry);
  void onEntry(TarHeader&& header);
  void beginExtended(const TarHeader& header);
  void endExtended();
  void afterData();
  void keepLongName(std::optional<std::string>& slot);
  std::string mergedPath(const TarHeader& header) const;
  TarEntry merge(TarHeader&& header);
  bool pending() const { return pax_.has_value() || long_name_.has_value() || long_link_.has_value(); }

  EntrySink& sink_;
  const Limits& limits_;
  State state_ = State::header;
  std::array<uint8_t, kBlock> block_{};
  size_t filled_ = 0;        // bytes of block_ that are there
  uint64_t remaining_ = 0;   // of the body or extended header
  uint64_t padding_ = 0;     // after it, up to the block's border
  uint64_t consumed_ = 0;    // of the whole stream, what is being read included
  uint64_t position_ = 0;    // of the byte that is read next
  uint64_t entries_ = 0;
  uint64_t globals_ = 0;
  bool zero_seen_ = false;
  char extended_type_ = 0;
  std::string extended_;
  std::string current_;      // name for messages
  std::optional<PaxRecords> pax_;
  std::optional<std::string> long_name_;
  std::optional<std::string> long_link_;
  /** A sparse file whose map is not complete yet. */
  TarEntry held_;
  SparseNumbers sparse_numbers_;
  std::optional<SparseText> sparse_text_;
  uint64_t sparse_text_bytes_ = 0;
  uint64_t regions_ = 0;
  uint64_t holes_ = 0;  // bytes of them in all files
};

}  // namespace ctr

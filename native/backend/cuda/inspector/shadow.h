// What is known of each byte of the device's memory: whether anybody wrote it, and who was last to read and to write it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace longhaul::cuda::inspector {

/**
 * The last accesses to a byte, or to an aligned word of four as long as all of them were whole. Epochs number all stretches
 * between barriers there ever were, so a cell need not be cleared: what is old says so.
 */
struct Cell {
  uint32_t write_epoch, read_epoch;
  uint16_t write_site, read_site;
  uint16_t writer, reader;  // a thread, and flags

  static constexpr uint16_t kThread = 0x07ff;
  static constexpr uint16_t kSplit = 0x8000, kAtomic = 0x4000;                     // of writer
  static constexpr uint16_t kMany = 0x8000, kOtherBlock = 0x4000, kStreamed = 0x2000;  // of reader
};

enum Written : uint8_t { kUnwritten = 0, kWritten = 1, kOnItsWay = 2 };

class Region {
 public:
  Region(const char* begin, size_t bytes, int number, bool pinned);
  ~Region();
  Region(const Region&) = delete;

  const char* const begin;
  const size_t bytes;
  const int number;
  const bool pinned;
  uint8_t* const written;  // (bytes) of Written

  bool holds(const char* at) const { return size_t(at - begin) < bytes; }

  /** Calls each(cell, how many bytes it stands for) for [at, at + n). */
  template <class Each>
  void each_cell(size_t at, size_t n, const Each& each) {
    for (const size_t end = at + n; at < end;) {
      Cell& word = words_[at / 4];
      const size_t next = at / 4 * 4 + 4;
      if (!(word.writer & Cell::kSplit)) {
        if (at % 4 == 0 && next <= end) {
          each(word, 4);
          at = next;
          continue;
        }
        split(word, at / 4 * 4);
      }
      for (; at < next && at < end; ++at) each(single_[at], 1);
    }
  }

 private:
  void split(Cell& word, size_t first);

  Cell* const words_;   // one each four bytes
  Cell* const single_;  // one a byte; touched only where words are split
};

/** All that is allocated. */
class Memory {
 public:
  void add(const char* begin, size_t bytes, bool pinned);
  void remove(const char* begin);
  /** The region that holds `at`, or null. */
  Region* find(const char* at);
  /** The nearest region that begins at or before `at`, or null: for saying by how much it was missed. */
  Region* before(const char* at);

 private:
  std::map<const char*, std::unique_ptr<Region>> regions_;
  Region* last_ = nullptr;
  int made_ = 0;
};

}  // namespace longhaul::cuda::inspector

#include "backend/cuda/inspector/shadow.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace longhaul::cuda::inspector {
namespace {

/** Zeros; pages that nobody touches take no memory. */
template <class T>
T* zeros(size_t n) {
  void* const memory = std::calloc(n + 1, sizeof(T));
  if (!memory) throw std::bad_alloc();
  return static_cast<T*>(memory);
}

}  // namespace

Region::Region(const char* from, size_t n, int id, bool of_host)
    : begin(from), bytes(n), number(id), pinned(of_host), written(zeros<uint8_t>(n)), words_(zeros<Cell>(n / 4 + 1)), single_(zeros<Cell>(n + 4)) {
  if (pinned) std::memset(written, kWritten, n);
}

Region::~Region() {
  std::free(written);
  std::free(words_);
  std::free(single_);
}

void Region::split(Cell& word, size_t first) {
  for (int i = 0; i < 4; ++i) single_[first + i] = word;
  word.writer |= Cell::kSplit;
}

void Memory::add(const char* begin, size_t bytes, bool pinned) {
  regions_[begin] = std::make_unique<Region>(begin, bytes, ++made_, pinned);
}

void Memory::remove(const char* begin) {
  last_ = nullptr;
  regions_.erase(begin);
}

Region* Memory::before(const char* at) {
  auto next = regions_.upper_bound(at);
  return next == regions_.begin() ? nullptr : (--next)->second.get();
}

Region* Memory::find(const char* at) {
  if (last_ && last_->holds(at)) return last_;
  Region* const found = before(at);
  if (!found || !found->holds(at)) return nullptr;
  return last_ = found;
}

}  // namespace longhaul::cuda::inspector

#include "backend/cuda/inspector/lanes.h"

#include <algorithm>

namespace longhaul::cuda::inspector {
namespace {

constexpr int kSector = 32, kBanks = 32, kWord = 4;

/** Distinct numbers among the first `n`. */
int distinct(uint64_t* numbers, int n) {
  std::sort(numbers, numbers + n);
  return int(std::unique(numbers, numbers + n) - numbers);
}

}  // namespace

Traffic& Traffic::operator+=(const Traffic& other) {
  load_bytes += other.load_bytes, load_sectors += other.load_sectors;
  store_bytes += other.store_bytes, store_sectors += other.store_sectors;
  streamed_bytes += other.streamed_bytes, streamed_sectors += other.streamed_sectors;
  read_once += other.read_once, written_once += other.written_once;
  shared += other.shared, passes += other.passes, least_passes += other.least_passes;
  worst = std::max(worst, other.worst);
  return *this;
}

void Lanes::begin_block(int threads) {
  if (threads != threads_) {
    threads_ = threads;
    places_ = 0;
    came_.clear();
    waiting_.clear();
  }
  std::fill(came_.begin(), came_.end(), 0);
  for (Waiting& w : waiting_) {
    w.done = 0;
    w.head = 0;
    w.groups.clear();
  }
}

void Lanes::grow(size_t places) {
  places_ = places;
  came_.resize(places * threads_);
  waiting_.resize(places * ((threads_ + 31) / 32));
}

void Lanes::add(std::vector<Traffic>& places, int thread, int place, const Access& access) {
  if (size_t(place) >= places_) grow(place + 1);
  const uint32_t time = came_[size_t(place) * threads_ + thread]++;
  Waiting& waiting = waiting_[size_t(place) * ((threads_ + 31) / 32) + thread / 32];
  // Groups fill in order, so one that is full is the oldest.
  const size_t index = waiting.head + (time - waiting.done);
  while (index >= waiting.groups.size()) waiting.groups.emplace_back();
  Group& group = waiting.groups[index];
  if (group.lanes == 0) group.first = access;
  group.lanes |= 1u << thread % 32;
  group.at[thread % 32] = access.at;
  while (waiting.head < waiting.groups.size() && waiting.groups[waiting.head].lanes == ~0u) {
    count(places[place], waiting.groups[waiting.head++]);
    ++waiting.done;
  }
  if (waiting.head == waiting.groups.size()) {
    waiting.groups.clear();
    waiting.head = 0;
  }
}

void Lanes::end_block(std::vector<Traffic>& places) {
  const size_t warps = (threads_ + 31) / 32;
  for (size_t i = 0; i < waiting_.size(); ++i)
    for (size_t g = waiting_[i].head; g < waiting_[i].groups.size(); ++g)
      if (waiting_[i].groups[g].lanes) count(places[i / warps], waiting_[i].groups[g]);
}

void Lanes::count(Traffic& t, const Group& group) {
  const Access& access = group.first;
  const int wide = access.bytes;
  const auto here = [&](int lane) { return group.lanes >> lane & 1; };
  uint64_t numbers[32 * 2];
  if (access.space == Space::global) {
    int n = 0;
    for (int lane = 0; lane < 32; ++lane)
      if (here(lane)) numbers[n++] = uint64_t(group.at[lane]);
    // Lanes that ask for the same are served together; none overlap in part.
    n = distinct(numbers, n);
    const uint64_t bytes = uint64_t(wide) * n;
    for (int i = 0, all = n; i < all; ++i) {
      const uint64_t first = numbers[i] / kSector, last = (numbers[i] + wide - 1) / kSector;
      numbers[i] = first;
      if (last != first) numbers[n++] = last;
    }
    const int sectors = distinct(numbers, n);
    (access.write ? t.store_bytes : t.load_bytes) += bytes;
    (access.write ? t.store_sectors : t.load_sectors) += sectors;
    if (access.streamed) t.streamed_bytes += bytes, t.streamed_sectors += sectors;
    return;
  }
  // A phase has as many lanes as 128 bytes hold.
  ++t.shared;
  const int words = std::max(1, wide / kWord), lanes = 32 / words;
  for (int first = 0; first < 32; first += lanes) {
    int n = 0;
    for (int lane = first; lane < first + lanes; ++lane)
      for (int w = 0; w < words && here(lane); ++w) numbers[n++] = uint64_t(group.at[lane]) / kWord + w;
    if (n == 0) continue;
    n = distinct(numbers, n);
    int in_bank[kBanks] = {};
    for (int i = 0; i < n; ++i) ++in_bank[numbers[i] % kBanks];
    const int most = *std::max_element(in_bank, in_bank + kBanks);
    t.passes += most;
    t.least_passes += 1;
    t.worst = std::max(t.worst, most);
  }
}

}  // namespace longhaul::cuda::inspector

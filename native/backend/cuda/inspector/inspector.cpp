// The rules, over what the kernels do (tsan_hooks.cpp, words.h) and what the emulator says (emulator/inspect.h). One launch is
// inspected at a time, whichever host thread makes it; what other threads copy meanwhile waits for its end.
#include "backend/cuda/inspector/inspector.h"

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "backend/cuda/emulator/inspect.h"
#include "backend/cuda/inspector/lanes.h"
#include "backend/cuda/inspector/places.h"
#include "backend/cuda/inspector/seen.h"
#include "backend/cuda/inspector/shadow.h"
#include "backend/cuda/inspector/words.h"

extern "C" char __executable_start, _end;

namespace longhaul::cuda::inspector {

thread_local Watched watched;

namespace {

/** Numbers of code addresses, for cells. */
class Sites {
 public:
  uint16_t number(const void* where) {
    const auto [at, made] = numbers_.emplace(where, uint16_t(places_.size()));
    if (made) places_.push_back(where);
    return at->second;
  }
  const void* place(uint16_t number) const { return places_[number]; }

 private:
  std::unordered_map<const void*, uint16_t> numbers_;
  std::vector<const void*> places_;
};

/** The traffic of all launches of one kernel with one grid under one label. */
struct Row {
  std::string under;
  LaunchFacts facts;
  uint64_t launches = 0;
  std::vector<Traffic> places;
  std::vector<const void*> where;                  // of each of them
  std::unordered_map<uint64_t, int> index;         // by code address and space
};

struct Arrivals {
  const void* first = nullptr;  // where the first of a meeting stands
  int times = 0;                // which meeting that is
};

struct Thread {
  bool waited = false;
  uint32_t barriers = 0;
  int exchanges = 0;
};

struct State {
  std::recursive_mutex mutex;
  Memory memory;
  Sites sites;
  std::string label;
  std::vector<Finding> found;
  std::vector<const void*> found_where;
  bool counting = false;
  std::vector<Row> rows;
  Lanes lanes;

  // Of the launch, and of the block that runs.
  LaunchFacts facts{};
  Row* row = nullptr;
  const char* args = nullptr;
  size_t arg_bytes = 0;
  uint32_t epoch = 1, launch_epoch = 1, block_epoch = 1;
  uint32_t ahead_epoch = 1;  // of the first launch that may not have ended before this one's wait_for_previous
  int block_x = 0, block_y = 0;
  std::unique_ptr<Region> shared;
  std::vector<Thread> threads;
  Arrivals block;
  std::vector<Arrivals> warps;
  const char *host_stack = nullptr, *host_stack_end = nullptr;
};

/** Never destroyed: memory is freed until the very end of the program. */
State& state() {
  static State* const one = new State;
  return *one;
}

std::string thread_text(int thread) {
  const State& s = state();
  return "thread " + std::to_string(thread) + " of block " + std::to_string(s.block_x) + "," + std::to_string(s.block_y);
}

void find(const char* rule, const std::string& what, const void* where) {
  State& s = state();
  const std::string kernel = s.facts.name ? s.facts.name : "";
  // By its beginning, what differs from time to time comes after it.
  const std::string kind = what.substr(0, what.find(':'));
  for (size_t i = 0; i < s.found.size(); ++i) {
    Finding& f = s.found[i];
    if (f.rule == rule && f.kernel == kernel && s.found_where[i] == where && f.what.compare(0, kind.size(), kind) == 0) {
      ++f.times;
      return;
    }
  }
  s.found.push_back({rule, kernel, s.label, what, "", 1});
  s.found_where.push_back(where);
}

std::string place_in(const Region& region, const char* at) {
  const bool shared = &region == state().shared.get();
  return "byte " + std::to_string(at - region.begin) + " of " + std::to_string(region.bytes) +
         (shared ? " of shared memory" : region.pinned ? " of pinned allocation " + std::to_string(region.number)
                                                       : " of allocation " + std::to_string(region.number));
}

struct Use {
  bool write, atomic, streamed;
  const void* where;
};

void check_order(Region& region, const char* p, size_t n, const Use& use, int thread, uint32_t now) {
  State& s = state();
  const bool shared = &region == s.shared.get();
  const uint16_t site = s.sites.number(use.where);
  const uint32_t launch = shared ? s.block_epoch : s.launch_epoch;
  const auto says = [&](const char* kind, const char* before, uint16_t other, uint16_t before_site) {
    const std::string first = other & Cell::kMany ? "several threads" : "thread " + std::to_string(other & Cell::kThread);
    find("racecheck", std::string(kind) + ": " + thread_text(thread) + (use.atomic ? " adds to " : use.write ? " writes " : " reads ") + place_in(region, p) +
                          ", which " + first + " " + before + " at " + describe(s.sites.place(before_site)) + "; a barrier between them was expected",
         use.where);
  };
  const auto between = [&](const char* before, uint16_t before_site) {
    find("racecheck", std::string("between blocks: ") + thread_text(thread) + (use.write ? " writes " : " reads ") + place_in(region, p) + ", which another block of this launch " +
                          before + " at " + describe(s.sites.place(before_site)) + "; blocks of a launch come in any order",
         use.where);
  };
  const bool early = !shared && s.facts.overlaps && (!s.threads[thread].waited || use.streamed);
  if (early && use.write)
    find("racecheck", "before the wait: " + thread_text(thread) + " writes " + place_in(region, p) + ", and launches before this one may still run", use.where);
  uint64_t read_once = 0, written_once = 0;
  region.each_cell(size_t(p - region.begin), n, [&](Cell& cell, int size) {
    const bool written = cell.write_epoch >= launch, read = cell.read_epoch >= launch;
    if (written && !(use.atomic && cell.writer & Cell::kAtomic)) {
      if (cell.write_epoch < s.block_epoch)
        between("writes", cell.write_site);
      else if (cell.write_epoch == now && (cell.writer & Cell::kThread) != thread)
        says(use.write ? "two writes" : "a read after a write", "writes", cell.writer & Cell::kThread, cell.write_site);
      if (use.streamed)
        find("racecheck", "not constant: " + thread_text(thread) + " reads " + place_in(region, p) + " past the first-level cache, which this launch writes at " +
                              describe(s.sites.place(cell.write_site)), use.where);
    }
    if (early && !use.write && cell.write_epoch >= s.ahead_epoch && cell.write_epoch < s.launch_epoch)
      find("racecheck", "before the wait: " + thread_text(thread) + " reads " + place_in(region, p) + (use.streamed ? " past the first-level cache" : "") +
                            ", which a launch before this one that may still run writes at " + describe(s.sites.place(cell.write_site)), use.where);
    if (use.write && read) {
      if (cell.read_epoch < s.block_epoch || cell.reader & Cell::kOtherBlock)
        between("reads", cell.read_site);
      else if (cell.read_epoch == now && ((cell.reader & Cell::kMany) || (cell.reader & Cell::kThread) != thread))
        says("a write after a read", "reads", cell.reader, cell.read_site);
      if (cell.reader & Cell::kStreamed)
        find("racecheck", "not constant: " + thread_text(thread) + " writes " + place_in(region, p) + ", which this launch reads past the first-level cache at " +
                              describe(s.sites.place(cell.read_site)), use.where);
    }
    if (use.write) {
      if (!written) written_once += size;
      cell.writer = uint16_t((cell.writer & Cell::kSplit) | thread | (use.atomic ? Cell::kAtomic : 0));
      cell.write_epoch = now;
      cell.write_site = site;
      return;
    }
    if (!read && !written) read_once += size;
    uint16_t flags = use.streamed ? Cell::kStreamed : 0;
    if (read) {
      flags |= cell.reader & (Cell::kOtherBlock | Cell::kStreamed);
      if (cell.read_epoch < s.block_epoch) flags |= Cell::kOtherBlock;
      if (cell.read_epoch == now) flags |= (cell.reader & Cell::kThread) != thread ? Cell::kMany : cell.reader & Cell::kMany;
    }
    cell.reader = uint16_t(thread | flags);
    cell.read_epoch = now;
    cell.read_site = site;
  });
  if (s.row && !shared && !s.row->places.empty()) {
    s.row->places[0].read_once += read_once;
    s.row->places[0].written_once += written_once;
  }
}

void check_written(Region& region, const char* p, size_t n, int thread, const void* where) {
  const uint8_t* const written = region.written + (p - region.begin);
  for (size_t i = 0; i < n; ++i) {
    if (written[i] == kWritten) continue;
    if (written[i] == kOnItsWay)
      find("initcheck", "too early: " + thread_text(thread) + " reads " + place_in(region, p + i) + ", whose copy was not waited for", where);
    else
      find("initcheck", "unwritten: " + thread_text(thread) + " reads " + place_in(region, p + i) + ", which nobody wrote", where);
    return;
  }
}

/** Counted under its place in the kernel. */
void count(const Access& access, const void* where, int thread) {
  State& s = state();
  Row& row = *s.row;
  const uint64_t key = uint64_t(where) * 2 + (access.space == Space::shared);
  const auto [at, made] = row.index.emplace(key, int(row.places.size()));
  if (made) {
    row.places.emplace_back();
    row.where.push_back(where);
  }
  s.lanes.add(row.places, thread, at->second, access);
}

Region* region_of(const char* p) {
  State& s = state();
  return s.shared && s.shared->holds(p) ? s.shared.get() : s.memory.find(p);
}

void say_outside(const char* p, size_t n, bool write, int thread, const void* where) {
  State& s = state();
  Region* near = s.shared && p >= s.shared->begin && p < s.shared->begin + s.shared->bytes + 4096 ? s.shared.get() : s.memory.before(p);
  std::string text = "out of bounds: " + thread_text(thread) + (write ? " writes " : " reads ") + std::to_string(n) + " bytes";
  if (near && p < near->begin + near->bytes + (1 << 20))
    text += ", " + std::to_string(p + n - (near->begin + near->bytes)) + " of them or more beyond the " + std::to_string(near->bytes) + " bytes of " +
            (near == s.shared.get() ? "shared memory" : "allocation " + std::to_string(near->number));
  else
    text += " far from all that is allocated";
  find("memcheck", text, where);
}

}  // namespace

void see(const void* address, size_t n, bool write, bool aligned, const void* where) {
  const char* const p = static_cast<const char*>(address);
  State& s = state();
  const bool streamed = watched.streams && !write;
  watched.streams = watched.streams && write;
  if (p >= &__executable_start && p < &_end) return;
  if (p >= s.host_stack && p < s.host_stack_end) return;
  if (size_t(p - static_cast<const char*>(s.facts.own)) < s.facts.own_bytes) return;
  const int thread = watched.thread;
  if (size_t(p - s.args) < s.arg_bytes) {
    if (write) find("memcheck", "constant: " + thread_text(thread) + " writes its arguments", where);
    return;
  }
  Region* const region = region_of(p);
  if (!region || !region->holds(p + n - 1)) return say_outside(p, n, write, thread, where);
  if (!aligned && n > 1)
    find("memcheck", "byte by byte: " + thread_text(thread) + (write ? " writes " : " reads ") + std::to_string(n) + " bytes of unknown alignment", where);
  else if ((n & (n - 1)) == 0 && uintptr_t(p) % n != 0)
    find("memcheck", "misaligned: " + thread_text(thread) + (write ? " writes " : " reads ") + std::to_string(n) + " bytes at " + place_in(*region, p) +
                         ", which is no multiple of " + std::to_string(n), where);
  const uint32_t now = s.block_epoch + s.threads[thread].barriers;
  if (write && std::memchr(region->written + (p - region->begin), kOnItsWay, n))
    find("initcheck", "too early: " + thread_text(thread) + " writes " + place_in(*region, p) + ", to which a copy is on its way", where);
  if (write)
    std::memset(region->written + (p - region->begin), kWritten, n);
  else
    check_written(*region, p, n, thread, where);
  if (s.row) {
    const Space space = region == s.shared.get() ? Space::shared : Space::global;
    for (size_t done = 0; done < n; done += 16) count({p + done, uint16_t(std::min<size_t>(16, n - done)), space, write, streamed}, where, thread);
  }
  check_order(*region, p, n, {write, false, streamed, where}, thread, now);
}

void copy_word(void* to, const void* from, size_t bytes) {
  const void* const where = LONGHAUL_WHERE;
  saw(from, bytes, false, true, where);
  saw(to, bytes, true, true, where);
  std::memcpy(to, from, bytes);
}

void next_read_streams() { watched.streams = true; }

void reads_row(const void* row, const void* where) { saw(row, 16, false, true, where); }

void allocated(void* memory, size_t bytes, bool pinned) {
  const std::lock_guard lock(state().mutex);
  state().memory.add(static_cast<const char*>(memory), bytes, pinned);
}

void freed(void* memory) {
  const std::lock_guard lock(state().mutex);
  state().memory.remove(static_cast<const char*>(memory));
}

void copied(void* to, const void* from, size_t bytes) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (bytes == 0) return;
  const char *const source = static_cast<const char*>(from), *const target = static_cast<const char*>(to);
  Region *const there = s.memory.find(target), *const here = s.memory.find(source);
  const auto outside = [&](Region* region, const char* at, const char* which) {
    if (region && !region->holds(at + bytes - 1))
      find("memcheck", std::string("out of bounds: a copy of ") + std::to_string(bytes) + " bytes " + which + " " + place_in(*region, at), nullptr);
    else if (!region)
      find("memcheck", std::string("out of bounds: a copy of ") + std::to_string(bytes) + " bytes " + which + " memory that is neither the device's nor pinned", nullptr);
    else
      return false;
    return true;
  };
  all_have_ended();
  const bool wrong = outside(there, target, "to");
  if (outside(here, source, "from") || wrong) return;
  if (there->pinned) return;
  std::memcpy(there->written + (target - there->begin), here->written + (source - here->begin), bytes);
}

void zeroed(void* memory, size_t bytes) {
  all_have_ended();
  library_wrote(memory, bytes, "zero");
}

void library_read(const void* memory, size_t bytes, const char* library) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const char* const p = static_cast<const char*>(memory);
  Region* const region = bytes ? s.memory.find(p) : nullptr;
  if (!region || !region->holds(p + bytes - 1)) {
    if (bytes) find("memcheck", std::string("out of bounds: ") + library + " reads " + std::to_string(bytes) + " bytes", nullptr);
    return;
  }
  const uint8_t* const written = region->written + (p - region->begin);
  for (size_t i = 0; i < bytes; ++i)
    if (written[i] != kWritten)
      return find("initcheck", std::string("unwritten: ") + library + " reads " + place_in(*region, p + i) + ", which nobody wrote", nullptr);
}

void library_wrote(void* memory, size_t bytes, const char* library) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const char* const p = static_cast<const char*>(memory);
  Region* const region = bytes ? s.memory.find(p) : nullptr;
  if (region && region->holds(p + bytes - 1))
    std::memset(region->written + (p - region->begin), kWritten, bytes);
  else if (bytes)
    find("memcheck", std::string("out of bounds: ") + library + " writes " + std::to_string(bytes) + " bytes", nullptr);
}

void launch_begins(const LaunchFacts& facts) {
  State& s = state();
  s.mutex.lock();
  s.facts = facts;
  s.launch_epoch = ++s.epoch;
  if (!facts.overlaps) s.ahead_epoch = s.launch_epoch;
  pthread_attr_t attributes;
  void* stack = nullptr;
  size_t bytes = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &stack, &bytes);
  pthread_attr_destroy(&attributes);
  s.host_stack = static_cast<const char*>(stack);
  s.host_stack_end = s.host_stack + bytes;
  s.row = nullptr;
  if (!s.counting) return;
  const auto same = [&](const Row& row) {
    return row.under == s.label && !std::strcmp(row.facts.name, facts.name) && row.facts.grid_x == facts.grid_x && row.facts.grid_y == facts.grid_y &&
           row.facts.threads == facts.threads;
  };
  auto row = std::find_if(s.rows.begin(), s.rows.end(), same);
  if (row == s.rows.end()) {
    s.rows.push_back({s.label, facts, 0, {Traffic()}, {nullptr}, {}});
    row = s.rows.end() - 1;
  }
  ++row->launches;
  s.row = &*row;
}

void launch_ends() {
  State& s = state();
  s.shared.reset();
  s.row = nullptr;
  s.facts = {};
  s.mutex.unlock();
}

void block_begins(void* shared, int block_x, int block_y) {
  State& s = state();
  s.block_x = block_x;
  s.block_y = block_y;
  s.block_epoch = ++s.epoch;
  const char* const begin = static_cast<const char*>(shared);
  if (s.shared && s.shared->begin == begin)
    std::memset(s.shared->written, kUnwritten, s.shared->bytes);
  else
    s.shared = std::make_unique<Region>(begin, s.facts.shared_bytes, 0, false);
  s.threads.assign(s.facts.threads, {});
  s.block = {};
  s.warps.assign((s.facts.threads + 31) / 32, {});
  if (s.row) s.lanes.begin_block(s.facts.threads);
}

void block_ends() {
  State& s = state();
  if (s.row) s.lanes.end_block(s.row->places);
  for (const Thread& thread : s.threads) s.epoch = std::max(s.epoch, s.block_epoch + thread.barriers);
}

void resumed(int thread, const void* stack, size_t stack_bytes) {
  watched.inside = true;
  watched.thread = thread;
  watched.stack = static_cast<const char*>(stack);
  watched.stack_bytes = stack_bytes;
}

void suspended() { watched.inside = false; }

void takes_arguments(const void* args, size_t bytes) {
  state().args = static_cast<const char*>(args);
  state().arg_bytes = bytes;
}

void waited_for_previous() { state().threads[watched.thread].waited = true; }

void all_have_ended() {
  const std::lock_guard lock(state().mutex);
  state().ahead_epoch = state().epoch + 1;
}

namespace {

/** Whoever is first at a meeting says where it is. */
void arrive(Arrivals& at, int times, const void* where, const char* what) {
  if (times > at.times) {
    at = {where, times};
  } else if (at.first != where && !same_line(at.first, where)) {
    find("synccheck", std::string("not the same: ") + thread_text(watched.thread) + " comes to another " + what + " than the one at " + describe(at.first) + " where others wait", where);
  }
}

}  // namespace

void comes_to_barrier(const void* where) {
  State& s = state();
  arrive(s.block, int(++s.threads[watched.thread].barriers), where, "barrier");
}

void comes_to_exchange(const void* where) {
  State& s = state();
  arrive(s.warps[watched.thread / 32], ++s.threads[watched.thread].exchanges, where, "exchange");
}

void waits_for_nobody() {
  State& s = state();
  find("synccheck", "nobody comes: " + thread_text(watched.thread) + " waits for threads that have ended", s.block.first);
  for (const Finding& f : findings())
    std::fprintf(stderr, "%s %s: %s\n  %s\n", f.rule.c_str(), f.kernel.c_str(), f.what.c_str(), f.where.c_str());
}

void copy_begins(void* to, const void* from, const void* where) {
  if (from) saw(from, 16, false, true, where);
  if (region_of(static_cast<const char*>(to)) != state().shared.get())
    return find("memcheck", "out of bounds: " + thread_text(watched.thread) + " copies to what is not shared memory", where);
  saw(to, 16, true, true, where);
  if (state().shared->holds(static_cast<const char*>(to) + 15))
    std::memset(state().shared->written + (static_cast<const char*>(to) - state().shared->begin), kOnItsWay, 16);
}

void copy_ends(void* to, const void* from) {
  State& s = state();
  const char* const p = static_cast<const char*>(to);
  if (!s.shared->holds(p) || !s.shared->holds(p + 15)) return;
  const size_t at = size_t(p - s.shared->begin);
  std::memset(s.shared->written + at, kWritten, 16);
  // What was unwritten stays so.
  const char* const source = static_cast<const char*>(from);
  if (Region* const region = source ? s.memory.find(source) : nullptr; region && region->holds(source + 15))
    std::memcpy(s.shared->written + at, region->written + (source - region->begin), 16);
  // It is there for this thread from here on, for others after a barrier.
  const uint32_t now = s.block_epoch + s.threads[watched.thread].barriers;
  s.shared->each_cell(at, 16, [&](Cell& cell, int) {
    cell.write_epoch = now;
    cell.writer = uint16_t((cell.writer & Cell::kSplit) | watched.thread);
  });
}

void atomic(void* to, size_t bytes, const void* where) {
  State& s = state();
  const char* const p = static_cast<const char*>(to);
  if (size_t(p - watched.stack) < watched.stack_bytes) return;
  Region* const region = region_of(p);
  if (!region || !region->holds(p + bytes - 1)) return say_outside(p, bytes, true, watched.thread, where);
  check_written(*region, p, bytes, watched.thread, where);
  if (s.row) count({p, uint16_t(bytes), region == s.shared.get() ? Space::shared : Space::global, true, false}, where, watched.thread);
  check_order(*region, p, bytes, {true, true, false, where}, watched.thread, s.block_epoch + s.threads[watched.thread].barriers);
}

void set_label(const std::string& label) {
  const std::lock_guard lock(state().mutex);
  state().label = label;
}

void count_traffic(bool on) {
  const std::lock_guard lock(state().mutex);
  state().counting = on;
}

std::vector<KernelTraffic> traffic(bool with_places) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  std::vector<KernelTraffic> all;
  for (const Row& row : s.rows) {
    KernelTraffic out{row.under, row.facts.name, row.facts.grid_x, row.facts.grid_y, row.facts.threads, row.facts.shared_bytes, row.launches, {}, {}};
    for (size_t i = 0; i < row.places.size(); ++i) {
      out.all += row.places[i];
      if (with_places && i > 0) out.places.push_back({describe(row.where[i]), row.places[i]});
    }
    all.push_back(std::move(out));
  }
  return all;
}

std::vector<Finding> findings() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  std::vector<Finding> all = s.found;
  for (size_t i = 0; i < all.size(); ++i) all[i].where = describe(s.found_where[i]);
  return all;
}

void forget() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.found.clear();
  s.found_where.clear();
  s.rows.clear();
}

}  // namespace longhaul::cuda::inspector

// Blocks one after the other, but for those that run ahead (launches.h); the threads of a block as fibers on one host thread, in an
// order shuffled at each round.
//
// Fibers start by makecontext, and change by _setjmp and _longjmp, which leave the signal mask alone and so need no system call.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>

#include "backend/cuda/emulator/inspect.h"
#include "backend/cuda/emulator/launches.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda::emulator {
namespace {

constexpr size_t kStackBytes = 128 << 10;

struct Copy {
  void* to;
  const void* from;  // null: zeros
};

struct Fiber {
  ucontext_t context;
  jmp_buf resume;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  Position position;
  bool started = false, done, waited;
  int barriers, exchanges;  // how many this fiber has reached
  bool yes;
  uint32_t words[kMostWords];
  std::vector<Copy> begun;                // since the last commit
  std::deque<std::vector<Copy>> groups;  // committed, and not carried out
};

/** Of the threads of a block, or of a warp. */
struct Meeting {
  int came = 0;   // of all of them together
  int ended = 0;  // threads that will not come again
};

/** One block and where its threads have come to. */
struct Machine {
  jmp_buf scheduler;
  std::vector<std::unique_ptr<Fiber>> fibers;
  int threads = 0;
  Meeting block;
  std::vector<Meeting> warps;
  Fiber* running = nullptr;
  const Launch* launch = nullptr;
  std::vector<char> shared;
  std::mt19937 random{20240711};
  bool ahead = false;  // of the launches before its own
  int steps = 0;       // how often a thread came to a meeting, to its wait or to its end
};

thread_local Machine* machine = nullptr;  // that runs

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "emulator: %s\n", what);
  std::abort();
}

void yield() {
  if (_setjmp(machine->running->resume) == 0) _longjmp(machine->scheduler, 1);
}

/** Until the running fiber yields. */
void resume(Fiber& fiber) {
  machine->running = &fiber;
  inspector::resumed(fiber.position.thread, fiber.stack.get(), kStackBytes);
  if (_setjmp(machine->scheduler) != 0) return inspector::suspended();
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.context);
}

/**
 * Until all `members` of a meeting have come as often as the running fiber, itself included. Nobody comes again before all
 * have come, so how often anybody came is all there is to count.
 */
void meet(Meeting& meeting, int members, int& times) {
  const int all = ++times * members;
  ++meeting.came;
  ++machine->steps;
  while (meeting.came < all) {
    if (meeting.ended > 0) {
      inspector::waits_for_nobody();
      die("a thread ended while others wait for it");
    }
    yield();
  }
}

/** A fiber's whole life: one thread of each block. */
void live() {
  for (;;) {
    machine->launch->body(machine->shared.data());
    machine->running->done = true;
    ++machine->steps;
    ++machine->block.ended;
    ++machine->warps[machine->running->position.thread / 32].ended;
    yield();
  }
}

std::unique_ptr<Fiber> born() {
  auto fiber = std::make_unique<Fiber>();
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, live, 0);
  return fiber;
}

void carry_out(const std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    if (copy.from)
      std::memcpy(copy.to, copy.from, 16);
    else
      std::memset(copy.to, 0, 16);
    inspector::copy_ends(copy.to, copy.from);
  }
}

/** Puts a block of `launch` on a machine; nothing of it has run. */
void begin(Machine& m, const Launch& launch, int block) {
  m.launch = &launch;
  m.shared.assign(launch.shared_bytes + 16, char(0xff));
  while (int(m.fibers.size()) < launch.threads) m.fibers.push_back(born());
  m.threads = launch.threads;
  m.block = {};
  m.warps.assign(launch.threads / 32, {});
  m.ahead = false;
  for (int i = 0; i < launch.threads; ++i) {
    Fiber& fiber = *m.fibers[i];
    fiber.position = {i, block % launch.grid_x, block / launch.grid_x};
    fiber.done = fiber.waited = false;
    fiber.barriers = fiber.exchanges = 0;
    fiber.begun.clear();
    fiber.groups.clear();
  }
}

/** To the end of the block, or as far as it comes ahead of the launches before its own. */
void go_on(Machine& m) {
  machine = &m;
  std::vector<int> order(m.threads);
  std::iota(order.begin(), order.end(), 0);
  for (int before = -1; m.steps != before;) {
    before = m.steps;
    std::shuffle(order.begin(), order.end(), m.random);
    for (const int i : order)
      if (!m.fibers[i]->done) resume(*m.fibers[i]);
  }
  for (int i = 0; i < m.threads; ++i) {
    const Fiber& fiber = *m.fibers[i];
    if (!fiber.done && !m.ahead) die("a block whose threads wait for each other at different places");
    if (fiber.done && !fiber.waited && m.launch->overlaps)
      throw DeviceError(std::string(m.launch->name) + ": a thread ended without wait_for_previous");
  }
}

/** Machines that nobody uses. */
std::vector<std::unique_ptr<Machine>>& idle() {
  thread_local std::vector<std::unique_ptr<Machine>> machines;
  return machines;
}

std::unique_ptr<Machine> take() {
  if (idle().empty()) return std::make_unique<Machine>();
  std::unique_ptr<Machine> last = std::move(idle().back());
  idle().pop_back();
  return last;
}

}  // namespace

Position position() { return machine->running->position; }

void sync_block() {
  inspector::comes_to_barrier(LONGHAUL_WHERE);
  meet(machine->block, machine->threads, machine->running->barriers);
}

int count_block(bool yes) {
  machine->running->yes = yes;
  inspector::comes_to_barrier(LONGHAUL_WHERE);
  meet(machine->block, machine->threads, machine->running->barriers);
  int count = 0;
  for (int i = 0; i < machine->threads; ++i) count += machine->fibers[i]->yes;
  meet(machine->block, machine->threads, machine->running->barriers);
  return count;
}

int atomic_add(int* to, int v) {
  inspector::atomic(to, sizeof *to, LONGHAUL_WHERE);
  const int before = *to;
  *to += v;
  return before;
}

void wait_for_previous() {
  inspector::waited_for_previous();
  Fiber& fiber = *machine->running;
  fiber.waited = true;
  ++machine->steps;
  if (!machine->ahead) return;
  // Copies may be carried out at any time after they were begun.
  for (const std::vector<Copy>& group : fiber.groups) carry_out(group);
  carry_out(fiber.begun);
  fiber.groups.assign(fiber.groups.size(), {});
  fiber.begun.clear();
  while (machine->ahead) yield();
}

void copy_async(void* to, const void* from, bool inside) {
  inspector::copy_begins(to, inside ? from : nullptr, LONGHAUL_WHERE);
  machine->running->begun.push_back({to, inside ? from : nullptr});
}

void commit_copies() {
  machine->running->groups.push_back(std::move(machine->running->begun));
  machine->running->begun.clear();
}

void wait_copies(int pending) {
  auto& groups = machine->running->groups;
  for (; int(groups.size()) > pending; groups.pop_front()) carry_out(groups.front());
}

void publish(const uint32_t* words, int count) {
  std::copy_n(words, count, machine->running->words);
  finish_exchange();
}

uint32_t exchange(uint32_t mine, int from) {
  inspector::comes_to_exchange(LONGHAUL_WHERE);
  machine->running->words[0] = mine;
  finish_exchange();
  const uint32_t theirs = published(from)[0];
  finish_exchange();
  return theirs;
}

const uint32_t* published(int lane) { return machine->fibers[machine->running->position.thread / 32 * 32 + lane]->words; }

void finish_exchange() { meet(machine->warps[machine->running->position.thread / 32], 32, machine->running->exchanges); }

class Running {
 public:
  explicit Running(const Launch& launch) : launch_(launch) {}
  ~Running() {
    // A block that did not end leaves fibers in the midst of a kernel: its machine is of no more use.
    if (ended_)
      for (auto& [block, one] : ahead_) idle().push_back(std::move(one));
  }

  void run_ahead() {
    static thread_local std::mt19937 random{20261130};
    const int blocks = launch_.grid_x * launch_.grid_y;
    for (int i = 0; i < 2; ++i) {
      const int block = int(random() % unsigned(blocks));
      if (ahead_.count(block)) continue;
      Machine& one = *(ahead_[block] = take());
      begin(one, launch_, block);
      one.ahead = true;
      go_on(one);
    }
  }

  void finish() {
    for (auto& [block, one] : ahead_) {
      one->ahead = false;
      go_on(*one);
    }
    inspector::launch_begins({launch_.name, launch_.grid_x, launch_.grid_y, launch_.threads, launch_.shared_bytes, launch_.overlaps, &launch_,
                              sizeof launch_});
    std::unique_ptr<Machine> shared = take();
    for (int block = 0; block < launch_.grid_x * launch_.grid_y; ++block) {
      if (ahead_.count(block)) continue;
      begin(*shared, launch_, block);
      inspector::block_begins(shared->shared.data(), block % launch_.grid_x, block / launch_.grid_x);
      go_on(*shared);
      inspector::block_ends();
    }
    inspector::launch_ends();
    idle().push_back(std::move(shared));
    ended_ = true;
  }

 private:
  const Launch launch_;
  std::map<int, std::unique_ptr<Machine>> ahead_;
  bool ended_ = false;
};

/** Launches that are held back, at most: as many may be under way on a device, and more. */
constexpr size_t kMostHeld = 3;

Launches::Launches() = default;
Launches::~Launches() = default;

void Launches::add(const Work& work, bool overlap) {
  const Launch* const launch = std::get_if<Launch>(&work);
  // Under inspection a launch has ended before the next begins, and what it does before its wait is judged by rules.
  if (inspector::kInspects) overlap = false;
  const bool ahead = launch && overlap && launch->overlaps && !held_.empty();
  if (!ahead) finish();
  if (!launch) return std::get<std::function<void()>>(work)();
  held_.push_back(std::make_unique<Running>(*launch));
  if (ahead) held_.back()->run_ahead();
  if (!overlap) finish();
  if (held_.size() <= kMostHeld) return;
  const std::unique_ptr<Running> first = std::move(held_.front());
  held_.pop_front();
  first->finish();
}

void Launches::finish() {
  while (!held_.empty()) {
    const std::unique_ptr<Running> first = std::move(held_.front());
    held_.pop_front();
    first->finish();
  }
}

}  // namespace longhaul::cuda::emulator

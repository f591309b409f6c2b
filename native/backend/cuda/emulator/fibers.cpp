// Blocks one after the other; the threads of a block as fibers on one host thread, in an order shuffled at each round.
//
// Fibers start by makecontext, and change by _setjmp and _longjmp, which leave the signal mask alone and so need no system call.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>

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
  bool started = false, done;
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

struct Machine {
  jmp_buf scheduler;
  std::vector<std::unique_ptr<Fiber>> fibers;
  int threads = 0;
  Meeting block;
  std::vector<Meeting> warps;
  Fiber* running = nullptr;
  const std::function<void(void*)>* body = nullptr;
  std::vector<char> shared;
  std::mt19937 random{20240711};
};

thread_local Machine machine;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "emulator: %s\n", what);
  std::abort();
}

void yield() {
  if (_setjmp(machine.running->resume) == 0) _longjmp(machine.scheduler, 1);
}

/** Until the running fiber yields. */
void resume(Fiber& fiber) {
  machine.running = &fiber;
  if (_setjmp(machine.scheduler) != 0) return;
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
  while (meeting.came < all) {
    if (meeting.ended > 0) die("a thread ended while others wait for it");
    yield();
  }
}

/** A fiber's whole life: one thread of each block. */
void live() {
  for (;;) {
    (*machine.body)(machine.shared.data());
    machine.running->done = true;
    ++machine.block.ended;
    ++machine.warps[machine.running->position.thread / 32].ended;
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

void run_block(Position at, int threads) {
  std::fill(machine.shared.begin(), machine.shared.end(), char(0xff));
  while (int(machine.fibers.size()) < threads) machine.fibers.push_back(born());
  machine.threads = threads;
  machine.block = {};
  machine.warps.assign(threads / 32, {});
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = *machine.fibers[i];
    fiber.position = {i, at.block_x, at.block_y};
    fiber.done = false;
    fiber.barriers = fiber.exchanges = 0;
    fiber.begun.clear();
    fiber.groups.clear();
  }
  std::vector<int> order(threads);
  std::iota(order.begin(), order.end(), 0);
  for (bool any = true; any;) {
    any = false;
    std::shuffle(order.begin(), order.end(), machine.random);
    for (const int i : order) {
      Fiber& fiber = *machine.fibers[i];
      if (fiber.done) continue;
      any = true;
      resume(fiber);
    }
  }
}

}  // namespace

const Position& position() { return machine.running->position; }

void sync_block() { meet(machine.block, machine.threads, machine.running->barriers); }

int count_block(bool yes) {
  machine.running->yes = yes;
  sync_block();
  int count = 0;
  for (int i = 0; i < machine.threads; ++i) count += machine.fibers[i]->yes;
  sync_block();
  return count;
}

void copy_async(void* to, const void* from, bool inside) { machine.running->begun.push_back({to, inside ? from : nullptr}); }

void commit_copies() {
  machine.running->groups.push_back(std::move(machine.running->begun));
  machine.running->begun.clear();
}

void wait_copies(int pending) {
  auto& groups = machine.running->groups;
  for (; int(groups.size()) > pending; groups.pop_front())
    for (const Copy& copy : groups.front()) {
      if (copy.from)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
}

void publish(const uint32_t* words, int count) {
  std::copy_n(words, count, machine.running->words);
  finish_exchange();
}

const uint32_t* published(int lane) { return machine.fibers[machine.running->position.thread / 32 * 32 + lane]->words; }

void finish_exchange() { meet(machine.warps[machine.running->position.thread / 32], 32, machine.running->exchanges); }

void run_grid(Grid grid, int threads, size_t shared_bytes, const std::function<void(void*)>& body) {
  machine.shared.resize(shared_bytes + 16);
  machine.body = &body;
  for (int y = 0; y < grid.y; ++y)
    for (int x = 0; x < grid.x; ++x) run_block({0, x, y}, threads);
}

}  // namespace longhaul::cuda::emulator

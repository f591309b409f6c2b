// Blocks one after the other; the threads of a block as fibers on one host thread, in an order shuffled at each round.
//
// Fibers start by makecontext, and change by _setjmp and _longjmp, which leave the signal mask alone and so need no system call.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>

#include "backend/cuda/launch.h"

namespace longhaul::cuda::emulator {
namespace {

constexpr size_t kStackBytes = 128 << 10;

struct Fiber {
  ucontext_t context;
  jmp_buf resume;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  Position position;
  bool started = false, done;
  int barriers, exchanges;  // how many this fiber has reached
  uint32_t words[kMostWords];
};

struct Machine {
  jmp_buf scheduler;
  std::vector<std::unique_ptr<Fiber>> fibers;
  int threads = 0;
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

/** Until every fiber of [first, first + count) has reached `level` of `counter`. */
void wait_for(int first, int count, int Fiber::*counter) {
  const int level = machine.running->*counter;
  const auto behind = [&] {
    for (int i = first; i < first + count; ++i) {
      const Fiber& fiber = *machine.fibers[i];
      if (fiber.*counter >= level) continue;
      if (fiber.done) die("a thread ended while others wait for it");
      return true;
    }
    return false;
  };
  while (behind()) yield();
}

/** A fiber's whole life: one thread of each block. */
void live() {
  for (;;) {
    (*machine.body)(machine.shared.data());
    machine.running->done = true;
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
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = *machine.fibers[i];
    fiber.position = {i, at.block_x, at.block_y};
    fiber.done = false;
    fiber.barriers = fiber.exchanges = 0;
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

void sync_block() {
  ++machine.running->barriers;
  wait_for(0, machine.threads, &Fiber::barriers);
}

void publish(const uint32_t* words, int count) {
  std::copy_n(words, count, machine.running->words);
  finish_exchange();
}

const uint32_t* published(int lane) { return machine.fibers[machine.running->position.thread / 32 * 32 + lane]->words; }

void finish_exchange() {
  ++machine.running->exchanges;
  wait_for(machine.running->position.thread / 32 * 32, 32, &Fiber::exchanges);
}

void run_grid(Grid grid, int threads, size_t shared_bytes, const std::function<void(void*)>& body) {
  machine.shared.resize(shared_bytes + 16);
  machine.body = &body;
  for (int y = 0; y < grid.y; ++y)
    for (int x = 0; x < grid.x; ++x) run_block({0, x, y}, threads);
}

}  // namespace longhaul::cuda::emulator

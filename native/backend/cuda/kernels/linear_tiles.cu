// y = W x (or y += W x) for many rows of x, bf16 by bf16 on tensor cores, fp32 sums: reading without cuBLASLt.
//
// A block makes a tile of tokens by rows of W. k passes in steps of 32 through a ring of shared memory that asynchronous copies
// fill three steps ahead, 16 bytes at a time; a warp takes its part of both operands from there as 8 x 8 matrices and keeps its
// part of y in registers. Within a row of 64 bytes the four pieces are exchanged by the row's number, so that eight rows
// of one piece lie in all 32 banks, for the copies as for the matrices.
//
// A sum is one chain of m16n8k16 over k, sixteen at a time and in increasing order, whatever the tile and wherever in it: so its
// bits depend on its row of x and its row of W alone, and tiles may be chosen by the number of rows. Blocks of one tile of W are
// neighbours, so that W comes from memory once, and x from the second-level cache. Bound by the tensor cores.
// sm_90a: 128 x 256 has 219 registers and 96 KiB of shared memory, 64 x 64 has 80 and 32; no spills.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kStep = 32, kStages = 4;
constexpr int kPieces = kStep / 8;  // of 16 bytes in a row of a step

/** Rows of one operand: where piece `piece` of `row` lies. */
template <int ROWS>
struct OperandTile {
  Quad pieces[ROWS][kPieces];
  static __device__ int place(int row, int piece) { return piece ^ (row / 2 % kPieces); }
  __device__ Quad* at(int row, int piece) { return &pieces[row][place(row, piece)]; }
  __device__ const Quad* at(int row, int piece) const { return &pieces[row][place(row, piece)]; }
};

/** WARPS_M x WARPS_N warps, each 16 MT tokens by 8 NT rows of W. */
template <int WARPS_M, int WARPS_N, int MT, int NT>
struct LinearTiles {
  using Args = LinearArgs;
  static constexpr int kThreads = 32 * WARPS_M * WARPS_N, kTokens = WARPS_M * MT * 16, kRows = WARPS_N * NT * 8;
  static constexpr const char* kName = "linear_tiles";
  static_assert(NT % 2 == 0 && kTokens * kPieces % kThreads == 0 && kRows * kPieces % kThreads == 0);

  struct Stage {
    OperandTile<kTokens> x;
    OperandTile<kRows> w;
  };
  struct Shared {
    alignas(128) Stage stages[kStages];
  };

  /** Rows [first, first + ROWS) of a matrix of `rows`, from k0 on; zeros beyond it. */
  template <int ROWS>
  static __device__ void copy_operand(OperandTile<ROWS>& to, const void* from, int ld, int first, int rows, int k0, int width) {
    LONGHAUL_UNROLL
    for (int i = 0; i < ROWS * kPieces / kThreads; ++i) {
      const int cell = i * kThreads + thread_id(), row = cell / kPieces, piece = cell % kPieces, k = k0 + 8 * piece;
      const bool inside = first + row < rows && k < width;
      const uint16_t* const source = static_cast<const uint16_t*>(from) + (inside ? size_t(first + row) * ld + k : 0);
      copy_async(to.at(row, piece), source, inside);
    }
  }
  /** One group, empty where there is no such step. */
  static __device__ void copy_step(Shared& shared, const Args& a, int step, int steps) {
    if (step < steps) {
      Stage& stage = shared.stages[step % kStages];
      copy_operand(stage.x, a.x.data, a.x.ld, block_x() * kTokens, a.rows, step * kStep, a.w.n_in);
      copy_operand(stage.w, a.w.data, a.w.n_in, block_y() * kRows, a.w.n_out, step * kStep, a.w.n_in);
    }
    commit_copies();
  }

  static __device__ void multiply(const Stage& stage, float (&sum)[MT][NT][4]) {
    const int warp = thread_id() / 32, lane = thread_id() % 32;
    const int first_token = warp % WARPS_M * MT * 16, first_row = warp / WARPS_M * NT * 8;
    LONGHAUL_UNROLL
    for (int half = 0; half < kStep / 16; ++half) {
      // Eight lanes name the rows of one matrix: of x rows 0..7 and 8..15 at k, then at k + 8; of W rows 0..7 at k and k + 8, then 8..15.
      uint32_t x[MT][4], w[NT / 2][4];
      LONGHAUL_UNROLL
      for (int m = 0; m < MT; ++m) load_matrices(stage.x.at(first_token + m * 16 + lane % 16, 2 * half + lane / 16), x[m]);
      LONGHAUL_UNROLL
      for (int n = 0; n < NT / 2; ++n)
        load_matrices(stage.w.at(first_row + n * 16 + lane / 16 * 8 + lane % 8, 2 * half + lane / 8 % 2), w[n]);
      LONGHAUL_UNROLL
      for (int m = 0; m < MT; ++m)
        LONGHAUL_UNROLL
        for (int n = 0; n < NT; ++n) mma(sum[m][n], x[m], w[n / 2][n % 2 * 2], w[n / 2][n % 2 * 2 + 1]);
    }
  }

  /** A lane has two neighbouring rows of W of each of its tokens. */
  static __device__ void store(const Args& a, const float (&sum)[MT][NT][4]) {
    const int warp = thread_id() / 32, lane = thread_id() % 32;
    LONGHAUL_UNROLL
    for (int m = 0; m < MT; ++m)
      LONGHAUL_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int token = block_x() * kTokens + (warp % WARPS_M * MT + m) * 16 + half * 8 + lane / 4;
        if (token >= a.rows) continue;
        LONGHAUL_UNROLL
        for (int n = 0; n < NT; ++n) {
          const int row = block_y() * kRows + (warp / WARPS_M * NT + n) * 8 + lane % 4 * 2;
          if (row >= a.w.n_out) continue;
          const size_t at = size_t(token) * a.y.ld + row;
          const float left = sum[m][n][2 * half], right = sum[m][n][2 * half + 1];
          if (a.y.bf16) {
            *reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(a.y.data) + at) = to_bf16_pair(left, right);
          } else {
            Float2* const y = reinterpret_cast<Float2*>(static_cast<float*>(a.y.data) + at);
            const Float2 before = a.accumulate ? *y : Float2{0.0f, 0.0f};
            *y = a.accumulate ? Float2{add(before.x, left), add(before.y, right)} : Float2{left, right};
          }
        }
      }
  }

  static __device__ void run(Shared& shared, const Args& a) {
    const int steps = (a.w.n_in + kStep - 1) / kStep;
    float sum[MT][NT][4];
    clear_sums(sum);
    LONGHAUL_UNROLL
    for (int step = 0; step < kStages - 1; ++step) copy_step(shared, a, step, steps);
    for (int step = 0; step < steps; ++step) {
      wait_copies<kStages - 2>();
      sync_block();  // this step is there for all, and nobody reads the last one any more, which is overwritten now
      copy_step(shared, a, step + kStages - 1, steps);
      multiply(shared.stages[step % kStages], sum);
    }
    store(a, sum);
  }
};

template <class K>
void launch_tiles(Stream& stream, const LinearArgs& args) {
  launch<K>(stream, {(args.rows + K::kTokens - 1) / K::kTokens, (args.w.n_out + K::kRows - 1) / K::kRows}, args);
}

}  // namespace

void linear_tiles(Stream& stream, const LinearArgs& args) {
  // Large tiles need the fewest bytes a product; small ones go round where a large one would leave multiprocessors idle.
  constexpr int kManyTiles = 64, kTokens = 128, kRows = 256;
  const int tiles = ((args.rows + kTokens - 1) / kTokens) * ((args.w.n_out + kRows - 1) / kRows);
  if (tiles >= kManyTiles) return launch_tiles<LinearTiles<2, 4, 4, 8>>(stream, args);
  launch_tiles<LinearTiles<2, 2, 2, 4>>(stream, args);
}

}  // namespace longhaul::cuda

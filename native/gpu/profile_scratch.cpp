#include "gpu/profile_scratch.h"

#include <cmath>
#include <cstring>

#include "gpu/deadline.h"

namespace longhaul {
namespace {

constexpr int kMostCopies = 128, kMostLaunches = 400;

/** bf16 between a thirty-second and an eighth, either sign: sums over thousands of products stay within reach. */
uint32_t word_of(Values values, uint32_t random) {
  const float uniform = float(random >> 8) * 0x1p-24f;
  const auto bits = [](float x) {
    uint32_t word;
    std::memcpy(&word, &x, 4);
    return word;
  };
  switch (values) {
    case Values::bf16: return (random & 0x807f807fu) | 0x3d003d00u | (random >> 3 & 0x00800080u);
    case Values::f32: return bits(2 * uniform - 1);
    case Values::positive: return bits(0.5f + uniform);
    case Values::rates: return bits(-1.44f - 20 * uniform);
    case Values::bytes: return random;
    case Values::e4m3: return random & 0xb7b7b7b7u;  // no NaN
  }
  return 0;
}

}  // namespace

RandomPools::RandomPools(cuda::Uploader& uploader) {
  uint32_t random = 2463534242u;
  std::vector<uint32_t> host(kBytes / 4);
  for (const Values values : {Values::bf16, Values::f32, Values::positive, Values::rates, Values::bytes, Values::e4m3}) {
    for (uint32_t& word : host) {
      random ^= random << 13, random ^= random >> 17, random ^= random << 5;
      word = word_of(values, random);
    }
    pools_.emplace_back(cuda::allocate_device(kBytes));
    uploader.upload(pools_.back().get(), host.data(), kBytes);
    uploader.finish();
  }
}

void RandomPools::fill(cuda::Stream& stream, void* to, size_t bytes, Values values) const {
  for (size_t done = 0; done < bytes; done += kBytes)
    stream.copy(static_cast<char*>(to) + done, pools_[size_t(values)].get(), std::min(kBytes, bytes - done));
}

Rotating Scratch::rotating(size_t bytes, Values values) {
  return take(bytes, values, int(std::min<size_t>((effort_.rotated_bytes + bytes - 1) / bytes + 1, kMostCopies)));
}

Rotating Scratch::take(size_t bytes, Values values, int copies) {
  const size_t stride = (bytes + 255) / 256 * 256;
  memory_.emplace_back(cuda::allocate_device(stride * size_t(copies)));
  most_copies_ = std::max(most_copies_, copies);
  pools_.fill(stream_, memory_.back().get(), stride * size_t(copies), values);
  stream_.synchronize();
  return {static_cast<char*>(memory_.back().get()), stride, copies};
}

double Scratch::microseconds(const std::function<void(int)>& launch) const {
  // The first makes what is made once.
  launch(0);
  stream_.synchronize();
  const auto seconds = [&](const cuda::Graph& graph) { return 1e-3 * double(cuda::time_on(stream_, [&] { stream_.run(graph); })); };
  const auto record = [&](int launches) {
    return stream_.record([&] {
      for (int i = 0; i < launches; ++i) launch(i);
    });
  };
  int launches = std::max(effort_.least_launches, most_copies_);
  {
    const cuda::Graph graph = record(launches);
    seconds(graph);
    const double once = seconds(graph) / launches;
    launches = std::max(launches, int(std::min<double>(kMostLaunches, effort_.least_seconds / std::max(once, 1e-7))));
  }
  const cuda::Graph graph = record(launches);
  std::vector<double> times;
  seconds(graph);
  for (int i = 0; i < effort_.repeats; ++i) times.push_back(seconds(graph));
  return 1e6 * median(times) / launches;
}

}  // namespace longhaul

// Cuts rows of logits short on the device: what the kernel reads and writes, and its way there and back.
#pragma once

#include <algorithm>
#include <vector>

#include "backend/cuda/kernels.h"

namespace longhaul::cuda {

class Shortlister {
 public:
  explicit Shortlister(int rows)
      : rows_(rows),
        in_bytes_(rows_ * sizeof(ShortlistSpec) + kMostEdits * sizeof(LogitEdit)),
        out_bytes_(rows_ * (sizeof(ShortlistFound) + kListBytes)),
        in_host_(allocate_pinned(in_bytes_)),
        out_host_(allocate_pinned(out_bytes_)),
        in_(allocate_device(in_bytes_)),
        out_(allocate_device(out_bytes_)),
        saved_(allocate_device(kMostEdits * sizeof(float))) {}

  /** Of the device's memory. */
  size_t bytes() const { return in_bytes_ + out_bytes_ + kMostEdits * sizeof(float); }

  /** Fills in what is found of each of `wanted`; returns when it is there. False, nothing done, where they have too many edits. */
  bool run(Stream& stream, Rows logits, int vocab, std::vector<Shortlist>& wanted) {
    const size_t rows = wanted.size();
    size_t edits = 0;
    bool drawn = false;
    for (const Shortlist& row : wanted) {
      edits += row.edits.size();
      drawn |= row.temperature > 0;
    }
    if (rows > rows_ || edits > kMostEdits) return false;

    // (rows) specs, then all edits; (rows) of what is found, then (rows, kMostShort) ids and as many z.
    ShortlistSpec* const specs = static_cast<ShortlistSpec*>(in_host_.get());
    LogitEdit* edit = reinterpret_cast<LogitEdit*>(specs + rows);
    int next = 0;
    for (size_t i = 0; i < rows; ++i) {
      const Shortlist& row = wanted[i];
      const int end = next + int(row.edits.size());
      specs[i] = {row.row, row.temperature, row.penalty, row.wanted, next, end};
      edit = std::copy(row.edits.begin(), row.edits.end(), edit);
      next = end;
    }
    stream.copy(in_.get(), specs, rows * sizeof(ShortlistSpec) + edits * sizeof(LogitEdit));

    const ShortlistSpec* const device_specs = static_cast<const ShortlistSpec*>(in_.get());
    ShortlistFound* const device_found = static_cast<ShortlistFound*>(out_.get());
    int32_t* const device_ids = reinterpret_cast<int32_t*>(device_found + rows);
    shortlist(stream,
              {logits.data, logits.ld, vocab, device_specs, reinterpret_cast<const LogitEdit*>(device_specs + rows),
               static_cast<float*>(saved_.get()), device_found, device_ids, reinterpret_cast<float*>(device_ids + rows * kMostShort)},
              int(rows));
    // Where nothing is drawn, no list was written.
    stream.copy(out_host_.get(), out_.get(), rows * (sizeof(ShortlistFound) + (drawn ? kListBytes : 0)));
    stream.synchronize();

    const ShortlistFound* const found = static_cast<const ShortlistFound*>(out_host_.get());
    const int32_t* const ids = reinterpret_cast<const int32_t*>(found + rows);
    const float* const z = reinterpret_cast<const float*>(ids + rows * kMostShort);
    for (size_t i = 0; i < rows; ++i) {
      Shortlist& row = wanted[i];
      const int count = row.temperature > 0 ? found[i].count : 0;
      row.finite = found[i].finite;
      row.best = found[i].best;
      row.total = found[i].total;
      row.ids.assign(ids + i * kMostShort, ids + i * kMostShort + count);
      row.z.assign(z + i * kMostShort, z + i * kMostShort + count);
    }
    return true;
  }

 private:
  static constexpr size_t kMostEdits = size_t(1) << 16;
  static constexpr size_t kListBytes = kMostShort * (sizeof(int32_t) + sizeof(float));

  const size_t rows_, in_bytes_, out_bytes_;
  PinnedMemory in_host_, out_host_;
  DeviceMemory in_, out_, saved_;
};

}  // namespace longhaul::cuda

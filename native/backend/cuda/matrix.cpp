#include "backend/cuda/matrix.h"

#include "backend/math/convert.h"

namespace longhaul::cuda {
namespace {

/** Calls each(row on the device, row of the host); padding rows are not called. */
template <class Each>
void each_row(const std::vector<int>& sections, const Each& each) {
  int device_row = 0, host_row = 0;
  for (const int section : sections) {
    for (int i = 0; i < section; ++i) each(device_row + i, host_row + i);
    device_row += padded(section);
    host_row += section;
  }
}

/** Rows that are made on the host, in order, and sent many at a time. */
template <class T>
class RowWriter {
 public:
  RowWriter(T* device, size_t width, Uploader& uploader)
      : device_(device), width_(width), uploader_(uploader), held_(width * std::max<size_t>(1, kBytes / (width * sizeof(T)))) {}
  ~RowWriter() { flush(); }

  template <class Fill>
  void write(int row, const Fill& fill) {
    if (row != first_ + count_ || (size_t(count_) + 1) * width_ > held_.size()) {
      flush();
      first_ = row;
    }
    T* const out = held_.data() + count_++ * width_;
    std::fill(out, out + width_, T{});
    fill(out);
  }

 private:
  static constexpr size_t kBytes = size_t(4) << 20;
  void flush() {
    if (count_ > 0) uploader_.upload(device_ + size_t(first_) * width_, held_.data(), count_ * width_ * sizeof(T));
    count_ = 0;
  }

  T* device_;
  const size_t width_;
  Uploader& uploader_;
  std::vector<T> held_;
  int first_ = 0, count_ = 0;
};

/** Rows as they are, `stored` bytes each into `width`: whole sections at once where that is the same. */
void store_rows(const std::vector<int>& sections, void* device, size_t width, const void* host, size_t stored, Uploader& uploader) {
  const uint8_t* const from = static_cast<const uint8_t*>(host);
  uint8_t* const to = static_cast<uint8_t*>(device);
  if (width != stored) {
    RowWriter<uint8_t> rows(to, width, uploader);
    each_row(sections, [&](int row, int source) { rows.write(row, [&](uint8_t* out) { std::memcpy(out, from + source * stored, stored); }); });
    return;
  }
  size_t device_row = 0, host_row = 0;
  for (const int section : sections) {
    uploader.upload(to + device_row * width, from + host_row * width, section * width);
    device_row += padded(section);
    host_row += section;
  }
}

DeviceMemory zeroed(size_t bytes, Uploader& uploader) {
  DeviceMemory memory(allocate_device(bytes));
  uploader.zero(memory.get(), bytes);
  return memory;
}

bool whole_blocks(const HostMatrix& host) { return host.cols % kCodeBlock == 0 && host.block_size % kCodeBlock == 0; }

}  // namespace

Codes Codes::of(const float* values) {
  Codes out;
  std::copy_n(values, 16, out.values);
  for (int byte = 0; byte < 256; ++byte)
    out.pairs[byte] = math::to_bf16(values[byte >> 4]) | uint32_t(math::to_bf16(values[byte & 15])) << 16;
  return out;
}

DeviceMatrix::DeviceMatrix(const HostMatrix& host, const std::vector<int>& sections, Activations activations, Uploader& uploader) {
  n_in = host.cols;
  n_out = 0;
  for (const int section : sections) n_out += padded(section);
  const size_t width = padded(host.cols), cells = size_t(n_out) * width, stored = size_t(host.cols);
  const bool f32 = activations == Activations::f32;
  view_.n_in = int(width);
  view_.n_out = n_out;

  if (f32) {
    view_.dtype = Dtype::f32;
    data_ = zeroed(cells * 4, uploader);
    RowWriter<float> rows(static_cast<float*>(data_.get()), width, uploader);
    each_row(sections, [&](int to, int from) {
      rows.write(to, [&](float* out) {
        for (size_t k = 0; k < stored; ++k) out[k] = math::element(host, from, k);
      });
    });
  } else if (host.dtype == Dtype::int8 || host.dtype == Dtype::fp8) {
    view_.dtype = host.dtype;
    data_ = zeroed(cells, uploader);
    scales_ = zeroed(size_t(n_out) * 4, uploader);
    std::vector<float> scales(n_out);
    each_row(sections, [&](int to, int from) { scales[to] = host.scales[from]; });
    store_rows(sections, data_.get(), width, host.data, stored, uploader);
    uploader.upload(scales_.get(), scales.data(), scales.size() * 4);
  } else if (host.dtype == Dtype::code4 && whole_blocks(host)) {
    view_.dtype = Dtype::code4;
    view_.block_size = kCodeBlock;
    const size_t blocks = width / kCodeBlock;
    data_ = zeroed(cells / 2, uploader);
    scales_ = zeroed(n_out * blocks * 4, uploader);
    const Codes codes = Codes::of(host.code);
    code_ = DeviceMemory(allocate_device(sizeof codes));
    uploader.upload(code_.get(), &codes, sizeof codes);
    store_rows(sections, data_.get(), width / 2, host.data, stored / 2, uploader);
    RowWriter<float> scales(static_cast<float*>(scales_.get()), blocks, uploader);
    each_row(sections, [&](int to, int from) {
      const size_t first = from * stored;
      scales.write(to, [&](float* out) {
        for (size_t b = 0; b < blocks; ++b) out[b] = host.scales[(first + b * kCodeBlock) / host.block_size];
      });
    });
  } else if (host.dtype == Dtype::bf16) {
    view_.dtype = Dtype::bf16;
    data_ = zeroed(cells * 2, uploader);
    store_rows(sections, data_.get(), width * 2, host.data, stored * 2, uploader);
  } else {
    view_.dtype = Dtype::bf16;
    data_ = zeroed(cells * 2, uploader);
    RowWriter<uint16_t> rows(static_cast<uint16_t*>(data_.get()), width, uploader);
    each_row(sections, [&](int to, int from) {
      rows.write(to, [&](uint16_t* out) {
        for (size_t k = 0; k < stored; ++k) out[k] = math::to_bf16(math::element(host, from, k));
      });
    });
  }
  view_.data = data_.get();
  view_.scales = static_cast<const float*>(scales_.get());
  view_.code = static_cast<const Codes*>(code_.get());
}

DeviceTable::DeviceTable(const HostMatrix& host, Uploader& uploader) {
  const bool kept = host.dtype == Dtype::f32 || host.dtype == Dtype::f16 || host.dtype == Dtype::bf16;
  dtype_ = kept ? host.dtype : Dtype::f32;
  n_in = host.cols;
  n_out = host.rows;
  const size_t cells = size_t(host.rows) * host.cols;
  if (kept) {
    const size_t bytes = cells * (dtype_ == Dtype::f32 ? 4 : 2);
    data_.reset(allocate_device(bytes));
    uploader.upload(data_.get(), host.data, bytes);
  } else {
    data_.reset(allocate_device(cells * 4));
    RowWriter<float> rows(static_cast<float*>(data_.get()), host.cols, uploader);
    for (int r = 0; r < host.rows; ++r)
      rows.write(r, [&](float* out) {
        for (int k = 0; k < host.cols; ++k) out[k] = math::element(host, r, k);
      });
  }
}

}  // namespace longhaul::cuda

#include "tensor/quantised.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

// The formats: values to codes, and the plain way back.

namespace temper {
namespace {

using at::Tensor;
using Kind = QuantFormat::Kind;

constexpr float kSmallest = 1e-38f;  // stands in for the magnitude of a block of zeros

int64_t blocks_of(int64_t elements, int64_t block) {
  return (elements + block - 1) / block;
}

// Between neighbours of kNf4Values: a value on one of them goes to the lower side.
std::array<float, 15> nf4_middles() {
  std::array<float, 15> out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = (kNf4Values[i] + kNf4Values[i + 1]) / 2.0f;
  return out;
}

float largest_magnitude(const float* values, int64_t n) {
  float out = 0.0f;
  for (int64_t i = 0; i < n; ++i) out = std::max(out, std::abs(values[i]));
  return out;
}

void quantise_int8(const Tensor& w, QuantisedMatrix& m) {
  const float* values = w.const_data_ptr<float>();
  auto* codes = m.codes.mutable_data_ptr<int8_t>();
  auto* absmax = m.absmax.mutable_data_ptr<float>();
  at::parallel_for(0, m.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = values + r * m.columns;
      absmax[r] = largest_magnitude(row, m.columns);
      const float scale =
          1.0f / std::max(absmax[r], kSmallest) * 127.0f;  // in this order, as PyTorch divides
      for (int64_t c = 0; c < m.columns; ++c) {
        const float code = std::nearbyint(row[c] * scale);  // not finite in a row of zeros
        codes[r * m.columns + c] = std::isfinite(code) ? static_cast<int8_t>(code) : 0;
      }
    }
  });
}

// Magnitudes [blocks], less their mean, in blocks of 256.
void quantise_absmax(const Tensor& absmax, QuantisedMatrix& m) {
  const Tensor mean = absmax.mean();
  m.absmax_mean = mean.item<float>();
  const Tensor centred = absmax - mean;
  const int64_t n = centred.numel();
  const float* values = centred.const_data_ptr<float>();
  auto* codes = m.absmax.mutable_data_ptr<uint8_t>();
  auto* scales = m.absmax_scale.mutable_data_ptr<float>();
  for (int64_t begin = 0; begin < n; begin += kBlockSize8) {
    const int64_t end = std::min(n, begin + kBlockSize8);
    const float largest = largest_magnitude(values + begin, end - begin);
    scales[begin / kBlockSize8] = largest;
    const float inverse = 1.0f / std::max(largest, kSmallest);
    // Not quantise8, which divides: bitsandbytes multiplies by the inverse here.
    for (int64_t i = begin; i < end; ++i) codes[i] = signed_map().nearest(values[i] * inverse);
  }
}

void quantise_nf4(const Tensor& w, QuantisedMatrix& m) {
  const int64_t n = w.numel(), blocks = blocks_of(n, kNf4Block);
  const auto middles = nf4_middles();
  const Tensor magnitudes = m.format.double_quantisation ? at::empty({blocks}, at::kFloat) : m.absmax;
  const float* values = w.const_data_ptr<float>();
  auto* codes = m.codes.mutable_data_ptr<uint8_t>();
  auto* absmax = magnitudes.mutable_data_ptr<float>();
  at::parallel_for(0, blocks, 256, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      const int64_t begin = b * kNf4Block, count = std::min(kNf4Block, n - begin);
      float scaled[kNf4Block] = {};  // what is missing in the last byte is 0
      absmax[b] = largest_magnitude(values + begin, count);
      const float inverse = 1.0f / std::max(absmax[b], kSmallest);
      for (int64_t i = 0; i < count; ++i) scaled[i] = values[begin + i] * inverse;
      uint8_t nearest[kNf4Block] = {};
      for (const float middle : middles) {
        for (int64_t i = 0; i < kNf4Block; ++i) nearest[i] += scaled[i] > middle ? 1 : 0;
      }
      for (int64_t i = 0; i < count; i += 2)
        codes[(begin + i) / 2] = static_cast<uint8_t>(nearest[i] << 4 | nearest[i + 1]);
    }
  });
  if (m.format.double_quantisation) quantise_absmax(magnitudes, m);
}

QuantError error_of(const QuantisedMatrix& m, const Tensor& w) {
  QuantError out;
  constexpr int64_t kRows = 256;
  for (int64_t begin = 0; begin < m.rows; begin += kRows) {
    const int64_t end = std::min(m.rows, begin + kRows);
    const Tensor rows = w.narrow(0, begin, end - begin);
    const Tensor difference = dequantise(m, begin, end, at::kFloat).sub_(rows);
    out.squares += difference.square().sum(at::kDouble).item<double>();
    out.reference += rows.square().sum(at::kDouble).item<double>();
    out.largest = std::max(out.largest, difference.abs().max().item<double>());
  }
  out.elements = w.numel();
  return out;
}

}  // namespace

Kind quant_kind(const std::string& name) {
  for (const Kind kind : {Kind::kNone, Kind::kInt8, Kind::kNf4}) {
    if (name == quant_name(kind)) return kind;
  }
  bug("no quantised format is called {}", name);
}

const char* quant_name(Kind kind) {
  return kind == Kind::kInt8 ? "int8" : kind == Kind::kNf4 ? "nf4" : "none";
}

void QuantError::add(const QuantError& other) {
  squares += other.squares;
  reference += other.reference;
  largest = std::max(largest, other.largest);
  elements += other.elements;
}

double QuantError::rms() const {
  return reference > 0 ? std::sqrt(squares / reference) : 0.0;
}

double QuantError::worst() const {
  return reference > 0 ? largest / std::sqrt(reference / static_cast<double>(elements)) : 0.0;
}

int64_t QuantisedMatrix::bytes() const {
  int64_t out = 0;
  for (const Tensor* t : {&codes, &absmax, &absmax_scale}) {
    if (t->defined()) out += static_cast<int64_t>(t->nbytes());
  }
  return out;
}

QuantisedMatrix quantised_shape(int64_t rows, int64_t columns, const QuantFormat& format, at::Device device) {
  const auto on = at::TensorOptions().device(device);
  QuantisedMatrix m{format, rows, columns};
  if (format.kind == Kind::kInt8) {
    m.codes = at::empty({rows, columns}, on.dtype(at::kChar));
    m.absmax = at::empty({rows}, on.dtype(at::kFloat));
    return m;
  }
  const int64_t blocks = blocks_of(rows * columns, kNf4Block);
  m.codes = at::empty({(rows * columns + 1) / 2}, on.dtype(at::kByte));
  m.absmax = at::empty({blocks}, on.dtype(format.double_quantisation ? at::kByte : at::kFloat));
  if (format.double_quantisation)
    m.absmax_scale = at::empty({blocks_of(blocks, kBlockSize8)}, on.dtype(at::kFloat));
  return m;
}

void quantise(const Tensor& w, QuantisedMatrix& m) {
  if (w.dim() != 2 || w.size(0) != m.rows || w.size(1) != m.columns)
    bug("quantise: expected a matrix of {} x {}", m.rows, m.columns);
  const at::NoGradGuard no_grad;
  const Tensor values = w.to(at::kCPU, at::kFloat).contiguous();
  const bool here = m.codes.is_cpu();
  QuantisedMatrix made = here ? m : quantised_shape(m.rows, m.columns, m.format, at::kCPU);  // m's own memory
  if (m.format.kind == Kind::kInt8)
    quantise_int8(values, made);
  else
    quantise_nf4(values, made);
  made.error = error_of(made, values);
  if (!here) {
    m.codes.copy_(made.codes);
    m.absmax.copy_(made.absmax);
    if (m.absmax_scale.defined()) m.absmax_scale.copy_(made.absmax_scale);
  }
  m.absmax_mean = made.absmax_mean;
  m.error = made.error;
}

QuantisedMatrix quantise(const Tensor& w, const QuantFormat& format) {
  QuantisedMatrix m = quantised_shape(w.size(0), w.size(1), format, w.device());
  quantise(w, m);
  return m;
}

namespace reference {

Tensor dequantise(const QuantisedMatrix& m, at::ScalarType dtype) {
  return reference::dequantise(m, 0, m.rows, dtype);
}

Tensor dequantise(const QuantisedMatrix& m, int64_t begin, int64_t end, at::ScalarType dtype) {
  const auto floats = at::TensorOptions().device(m.codes.device()).dtype(at::kFloat);
  if (m.format.kind == Kind::kInt8) {
    const auto part = [&](const Tensor& t) { return t.narrow(0, begin, end - begin); };
    return (part(m.codes) * part(m.absmax).unsqueeze(1) * kOver127).to(dtype);
  }
  const auto table = [&](const float* values, size_t n) {
    return at::tensor(at::ArrayRef<float>(values, n), floats);
  };
  // The blocks that the rows lie in, as elements of the matrix laid flat.
  const int64_t from = begin * m.columns, to = end * m.columns;
  const int64_t first = from / kNf4Block, blocks = blocks_of(to, kNf4Block) - first;
  Tensor absmax = m.absmax.narrow(0, first, blocks);
  if (m.format.double_quantisation) {
    const Tensor scale =
        at::arange(first, first + blocks, absmax.options().dtype(at::kLong)).div(kBlockSize8, "floor");
    absmax = table(signed_map().values(), 256).index_select(0, absmax.to(at::kLong)) *
                 m.absmax_scale.index_select(0, scale) +
             m.absmax_mean;
  }
  const int64_t start = first * kNf4Block, bytes = (to + 1) / 2 - start / 2;
  const Tensor pairs = m.codes.narrow(0, start / 2, bytes);
  const Tensor codes =
      at::stack({pairs.bitwise_right_shift(4), pairs.bitwise_and(15)}, 1).flatten().narrow(0, 0, to - start);
  const Tensor values = table(kNf4Values.data(), kNf4Values.size()).index_select(0, codes.to(at::kLong)) *
                        absmax.repeat_interleave(kNf4Block).narrow(0, 0, to - start);
  return values.narrow(0, from - start, to - from).view({end - begin, m.columns}).to(dtype);
}

Tensor quantised_linear(const Tensor& x, const QuantisedParts& weights, const Tensor& bias) {
  std::vector<Tensor> dense;
  for (const QuantisedRows& w : weights)
    dense.push_back(reference::dequantise(*w.matrix, w.begin, w.end, x.scalar_type()));
  return at::linear(x, at::cat(dense), bias.defined() ? std::optional<Tensor>(bias) : std::nullopt);
}

}  // namespace reference

}  // namespace temper

// Matrices in 8 or 4 bits, for frozen weights: the formats of bitsandbytes (Dettmers et al. 2022,
// arXiv:2208.07339; 2023, QLoRA, arXiv:2305.14314), bit for bit, and products with them.
//
// int8  One fp32 scale a row: q = round(127 w / absmax), half to even, w = q absmax / 127. What bitsandbytes'
//       Linear8bitLt stores. Of its two 8-bit formats this one is for weights (the other, a dynamic map over
//       blocks, is for optimizer states), has even steps and takes a multiplication, not a table, to undo.
// nf4   Blocks of 64 elements of the matrix laid flat, row after row, so that a block may cross rows: the
// nearest of 16
//       values, times the block's largest magnitude. With double quantisation these magnitudes, less their
//       mean, are stored in 8 bits, the signed form of blocks8.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/blocks8.h"

namespace temper {

struct QuantFormat {
  enum class Kind { kNone, kInt8, kNf4 } kind = Kind::kNone;
  bool double_quantisation = true;  // nf4 only
  bool on() const { return kind != Kind::kNone; }
};

// "none", "int8", "nf4"; throws std::logic_error on other names.
QuantFormat::Kind quant_kind(const std::string& name);
const char* quant_name(QuantFormat::Kind kind);

constexpr int64_t kNf4Block = 64;
constexpr float kOver127 = 7.874015718698502e-3f;

// Quantiles of a normal distribution, as bitsandbytes writes them.
constexpr std::array<float, 16> kNf4Values = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// What was lost, summed so that matrices add up.
struct QuantError {
  double squares = 0;    // of the errors
  double reference = 0;  // squares of the values themselves
  double largest = 0;    // |error|
  int64_t elements = 0;
  void add(const QuantError& other);
  double rms() const;    // root mean square of the errors over that of the values
  double worst() const;  // the largest error over the root mean square of the values
};

struct QuantisedMatrix {
  QuantFormat format;
  int64_t rows = 0, columns = 0;
  at::Tensor codes;   // int8: [rows, columns] int8. nf4: [ceil(rows columns / 2)] uint8, the first of two in
                      // the high bits
  at::Tensor absmax;  // int8: [rows] fp32. nf4: [blocks] fp32, or uint8 codes when doubly quantised
  at::Tensor absmax_scale;  // [ceil(blocks / 256)] fp32, of doubly quantised magnitudes
  float absmax_mean = 0;    // what was taken off these
  QuantError error;

  int64_t bytes() const;
};

// A matrix of that shape, not filled; on the meta device it has no storage.
QuantisedMatrix quantised_shape(int64_t rows, int64_t columns, const QuantFormat& format, at::Device device);

// Fills m, made by quantised_shape, from w [rows, columns] of any float type on any device; done on the CPU.
void quantise(const at::Tensor& w, QuantisedMatrix& m);
QuantisedMatrix quantise(const at::Tensor& w, const QuantFormat& format);  // a new one on w's device

// Rows [begin, end) -> [end - begin, columns] in `dtype`, fp32 or bf16: the fp32 values of bitsandbytes,
// rounded once.
at::Tensor dequantise(const QuantisedMatrix& m, int64_t begin, int64_t end, at::ScalarType dtype);

// Rows [begin, end) of a matrix.
struct QuantisedRows {
  std::shared_ptr<const QuantisedMatrix> matrix;
  int64_t begin = 0, end = 0;
  explicit QuantisedRows(std::shared_ptr<const QuantisedMatrix> all)
      : matrix(std::move(all)), end(matrix->rows) {}
  QuantisedRows(std::shared_ptr<const QuantisedMatrix> of, int64_t begin, int64_t end)
      : matrix(std::move(of)), begin(begin), end(end) {}
  int64_t rows() const { return end - begin; }
};
using QuantisedParts = std::vector<QuantisedRows>;

// y = x W^T (+ bias), W the rows of the parts one after the other. Rows are dequantised into x's dtype a
// slab at a time, in the backward pass too; a gradient goes to x alone. x [N, in], bias [outs] or undefined
// -> [N, outs].
at::Tensor quantised_linear(const at::Tensor& x, const QuantisedParts& weights, const at::Tensor& bias = {});

namespace reference {
at::Tensor dequantise(const QuantisedMatrix& m, at::ScalarType dtype);  // all rows
at::Tensor dequantise(const QuantisedMatrix& m, int64_t begin, int64_t end, at::ScalarType dtype);
at::Tensor quantised_linear(const at::Tensor& x, const QuantisedParts& weights, const at::Tensor& bias = {});
}  // namespace reference

}  // namespace temper

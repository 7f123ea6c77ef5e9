#include "tensor/recurrent/delta_chunk.h"

#include <algorithm>
#include <cmath>

#include "tensor/product/gemm.h"
#include "tensor/vec.h"

namespace temper {
namespace {

// to += by from
void add_scaled(float* to, const float* from, float by, int64_t n) {
  const vec::Floats factor(by);
  vec::for_each(n, [&](int64_t i, int64_t c) {
    vec::store(to + i, at::vec::fmadd(vec::load(from + i, c), factor, vec::load(to + i, c)), c);
  });
}

// to = by from
void scaled(float* to, const float* from, float by, int64_t n) {
  const vec::Floats factor(by);
  vec::for_each(n, [&](int64_t i, int64_t c) { vec::store(to + i, vec::load(from + i, c) * factor, c); });
}

float dot(const float* a, const float* b, int64_t n) {
  return vec::sum_over(n, [&](int64_t i, int64_t c) { return vec::load(a + i, c) * vec::load(b + i, c); });
}

// c [m, n] (+)= op(a) op(b) of matrices without gaps
void multiply(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const float* a, const float* b, bool add,
              float* c) {
  gemm(ta, tb, m, n, k, a, ta == Trans::kNo ? k : m, b, tb == Trans::kNo ? n : k, add, c, n);
}

}  // namespace

DeltaChunk::DeltaChunk(int64_t key_size, int64_t value_size) : key_size_(key_size), value_size_(value_size) {
  for (Floats* x : {&g, &beta, &dg, &dbeta, &sums_, &decay_, &dsums_}) x->resize(kRows);
  for (Floats* x : {&q, &k, &dq, &dk, &last_keys_, &keys_}) x->resize(kRows * key_size);
  for (Floats* x : {&v, &dv, &free_, &d_, &x_, &wide_}) x->resize(kRows * value_size);
  for (Floats* x : {&ratio_, &products_, &lower_, &a_, &da_, &dl_}) x->resize(kRows * kRows);
}

void DeltaChunk::solve(const float* state) {
  float sum = 0;
  for (int64_t i = 0; i < rows; ++i) {
    sum += g[i];
    sums_[i] = sum;
    decay_[i] = std::exp(sum);
  }
  multiply(Trans::kNo, Trans::kYes, rows, rows, key_size_, k.data(), k.data(), false, products_.data());
  for (int64_t i = 0; i < rows; ++i) {
    float *ratio = ratio_.data() + i * rows, *lower = lower_.data() + i * rows;
    std::fill(ratio, ratio + rows, 0.0f);
    std::fill(lower, lower + rows, 0.0f);
    const vec::Floats own(sums_[i]);
    vec::for_each(i + 1, [&](int64_t j, int64_t n) {
      vec::store(ratio + j, (own - vec::load(sums_.data() + j, n)).exp(), n);
    });
    for (int64_t j = 0; j < i; ++j) lower[j] = beta[i] * ratio[j] * products_[i * rows + j];
  }
  for (int64_t j = 0; j < rows; ++j) {
    const float to_last = ratio_[(rows - 1) * rows + j];
    scaled(last_keys_.data() + j * key_size_, k.data() + j * key_size_, to_last, key_size_);
  }
  multiply(Trans::kNo, Trans::kNo, rows, value_size_, key_size_, k.data(), state, false, wide_.data());
  std::copy_n(v.data(), rows * value_size_, free_.data());
  for (int64_t i = 0; i < rows; ++i) {
    float *free = free_.data() + i * value_size_, *d = d_.data() + i * value_size_;
    add_scaled(free, wide_.data() + i * value_size_, -decay_[i], value_size_);
    scaled(d, free, beta[i], value_size_);
    for (int64_t j = 0; j < i; ++j)
      add_scaled(d, d_.data() + j * value_size_, -lower_[i * rows + j], value_size_);
  }
}

void DeltaChunk::scores() {
  multiply(Trans::kNo, Trans::kYes, rows, rows, key_size_, q.data(), k.data(), false, a_.data());
  for (int64_t i = 0; i < rows * rows; ++i) a_[i] *= ratio_[i];
}

void DeltaChunk::forward(float* state, float* out) {
  solve(state);
  if (out != nullptr) {
    scores();
    multiply(Trans::kNo, Trans::kNo, rows, value_size_, key_size_, q.data(), state, false, out);
    for (int64_t i = 0; i < rows; ++i)
      scaled(out + i * value_size_, out + i * value_size_, decay_[i], value_size_);
    multiply(Trans::kNo, Trans::kNo, rows, value_size_, rows, a_.data(), d_.data(), true, out);
  }
  scaled(state, state, decay_[rows - 1], key_size_ * value_size_);
  multiply(Trans::kYes, Trans::kNo, key_size_, value_size_, rows, last_keys_.data(), d_.data(), true, state);
}

void DeltaChunk::backward(const float* state, const float* dout, float* dstate) {
  const int64_t square = key_size_ * value_size_;
  solve(state);
  scores();
  std::fill(dsums_.begin(), dsums_.end(), 0.0f);

  // D's gradient, then that of the system's right side: (I + L)^T x = dD.
  multiply(Trans::kYes, Trans::kNo, rows, value_size_, rows, a_.data(), dout, false, x_.data());
  multiply(Trans::kNo, Trans::kNo, rows, value_size_, key_size_, last_keys_.data(), dstate, true, x_.data());
  for (int64_t i = rows - 1; i > 0; --i) {
    for (int64_t j = 0; j < i; ++j)
      add_scaled(x_.data() + j * value_size_, x_.data() + i * value_size_, -lower_[i * rows + j],
                 value_size_);
  }
  multiply(Trans::kNo, Trans::kYes, rows, rows, value_size_, dout, d_.data(), false, da_.data());
  multiply(Trans::kNo, Trans::kYes, rows, rows, value_size_, x_.data(), d_.data(), false, dl_.data());

  // S1: what it had of D's rows, and of S0.
  multiply(Trans::kNo, Trans::kYes, rows, key_size_, value_size_, d_.data(), dstate, false, dk.data());
  for (int64_t j = 0; j < rows; ++j) {
    float* row = dk.data() + j * key_size_;
    scaled(row, row, ratio_[(rows - 1) * rows + j], key_size_);
    const float change = dot(row, k.data() + j * key_size_, key_size_);
    dsums_[j] -= change;
    dsums_[rows - 1] += change;
  }
  dsums_[rows - 1] += decay_[rows - 1] * dot(dstate, state, square);
  scaled(dstate, dstate, decay_[rows - 1], square);

  // O's term of S0: wide_ = exp(G) dO.
  for (int64_t i = 0; i < rows; ++i)
    scaled(wide_.data() + i * value_size_, dout + i * value_size_, decay_[i], value_size_);
  multiply(Trans::kNo, Trans::kYes, rows, key_size_, value_size_, wide_.data(), state, false, dq.data());
  multiply(Trans::kYes, Trans::kNo, key_size_, value_size_, rows, q.data(), wide_.data(), true, dstate);

  // The right side beta (V - exp(G) K S0): wide_ becomes the gradient of K S0.
  for (int64_t i = 0; i < rows; ++i) {
    const float* x = x_.data() + i * value_size_;
    dbeta[i] = dot(x, free_.data() + i * value_size_, value_size_);
    scaled(dv.data() + i * value_size_, x, beta[i], value_size_);
    scaled(wide_.data() + i * value_size_, x, -beta[i] * decay_[i], value_size_);
  }
  multiply(Trans::kNo, Trans::kYes, rows, key_size_, value_size_, wide_.data(), state, false, keys_.data());
  multiply(Trans::kYes, Trans::kNo, key_size_, value_size_, rows, k.data(), wide_.data(), true, dstate);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * key_size_;
    dsums_[i] +=
        dot(q.data() + at, dq.data() + at, key_size_) + dot(k.data() + at, keys_.data() + at, key_size_);
    add_scaled(dk.data() + at, keys_.data() + at, 1.0f, key_size_);
  }

  through_products();
  float sum = 0;
  for (int64_t i = rows - 1; i >= 0; --i) dg[i] = sum += dsums_[i];
}

void DeltaChunk::through_products() {
  for (int64_t i = 0; i < rows; ++i) {
    float *da = da_.data() + i * rows, *dl = dl_.data() + i * rows;
    const float *a = a_.data() + i * rows, *ratio = ratio_.data() + i * rows;
    float row_sum = 0;
    for (int64_t j = 0; j < i; ++j) {
      dl[j] = -dl[j];
      dbeta[i] += dl[j] * ratio[j] * products_[i * rows + j];
      const float change = da[j] * a[j] + dl[j] * lower_[i * rows + j];
      row_sum += change;
      dsums_[j] -= change;
      da[j] *= ratio[j];
      dl[j] *= beta[i] * ratio[j];
    }
    dsums_[i] += row_sum;
    std::fill(da + i + 1, da + rows, 0.0f);
    std::fill(dl + i, dl + rows, 0.0f);
  }
  multiply(Trans::kNo, Trans::kNo, rows, key_size_, rows, da_.data(), k.data(), true, dq.data());
  multiply(Trans::kYes, Trans::kNo, rows, key_size_, rows, da_.data(), q.data(), true, dk.data());
  multiply(Trans::kNo, Trans::kNo, rows, key_size_, rows, dl_.data(), k.data(), true, dk.data());
  multiply(Trans::kYes, Trans::kNo, rows, key_size_, rows, dl_.data(), k.data(), true, dk.data());
}

}  // namespace temper

// The gated delta rule over one chunk of one value head, forward and backward, in fp32 (arXiv:2412.06464,
// section 3.3). With G_i the sum of g up to token i, E_ij = exp(G_i - G_j), S0 the state before the chunk and
// rows for tokens:
//   (I + L) D = beta (V - exp(G) K S0),  L_ij = beta_i E_ij k_i . k_j  for j < i
//   O = exp(G) Q S0 + A D,               A_ij = E_ij q_i . k_j         for j <= i
//   S1 = exp(G_last) S0 + (E_last K)^T D
#pragma once

#include <cstdint>
#include <vector>

namespace temper {

class DeltaChunk {
 public:
  static constexpr int64_t kRows = 64;
  using Floats = std::vector<float>;
  DeltaChunk(int64_t key_size, int64_t value_size);

  // What the caller fills in for `rows` tokens: q, k [rows, Dk], v [rows, Dv], g, beta [rows].
  int64_t rows = 0;
  Floats q, k, v, g, beta;

  // state [Dk, Dv]: S0 becomes S1. out [rows, Dv], or null when only the state is wanted.
  void forward(float* state, float* out);

  // From S0, the gradient of O, and dstate, that of S1, which becomes that of S0.
  void backward(const float* state, const float* dout, float* dstate);
  Floats dq, dk, dv, dg, dbeta;  // what backward leaves

 private:
  void solve(const float* state);  // all up to D
  void scores();                   // A
  void through_products();         // gradients of L and A to those of their factors

  int64_t key_size_, value_size_;
  Floats sums_, decay_;         // [rows]: G, exp(G)
  Floats ratio_;                // [rows, rows]: E, 0 above the diagonal
  Floats products_, lower_;     // [rows, rows]: K K^T, L
  Floats a_, da_, dl_;          // [rows, rows]
  Floats last_keys_;            // [rows, Dk]: E_last K
  Floats free_, d_, x_, wide_;  // [rows, Dv]: V - exp(G) K S0, D, the gradient of beta free_, scratch
  Floats keys_;                 // [rows, Dk], scratch
  Floats dsums_;                // [rows]: the gradient of G
};

}  // namespace temper

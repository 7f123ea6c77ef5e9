// Advantages of the turns of conversations: GiGPO (arXiv 2505.10978). Ragged: S sequences with [M] tokens of
// the policy, and [T] turns of them.
//   A = A^E + omega A^S
// A^E is the sequence's own advantage, by the algorithm's estimator. A^S compares turns that began in the
// same place: of all conversations of a group, the turns whose states are equal are a group of their own, in
// which the discounted return of a turn, R_t = r_t + gamma r_{t+1} + gamma^2 r_{t+2} + ..., is centred, and
// divided by its deviation where `normalise` says so.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "base/fields.h"

namespace temper::objective {

// The section "turn_advantage" of an algorithm.
struct TurnOptions : Fields {
  double omega = 0.0, gamma = 0.95;
  std::string normalise = "std";
  void fields(FieldVisitor& v) override;
  bool on() const { return omega > 0; }
};

struct Turns {
  at::Tensor reward;    // [T] of each turn, sequence after sequence, in order; NaN: null
  at::Tensor sequence;  // [T] int64 ascending
  std::vector<std::string>
      state;        // [T] what it began in: equal strings are equal states, "" is equal to none
  at::Tensor turn;  // [M] int64: which of the T turns a token is of; -1: of none
};

// [T] fp64. A null reward makes the returns of its own and of earlier turns null.
at::Tensor turn_returns(const at::Tensor& reward, const at::Tensor& sequence, double gamma);

// advantage [S] (A^E), group [S] int64 -> token_advantage [M] in the advantage's type. A turn whose state no
// other turn of the group began in, and one without a return, have A^S 0. eps stands beside the deviation, as
// algorithm.advantage_eps. `sequence` [M]: of each token.
at::Tensor turn_advantages(const TurnOptions& options, double eps, const at::Tensor& advantage,
                           const at::Tensor& group, const at::Tensor& sequence, const Turns& turns);

}  // namespace temper::objective

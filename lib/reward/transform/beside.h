// Transforms that read another reward of the set beside their own.
#pragma once

#include "reward/transform/transform.h"

namespace temper {

// sigma(alpha r) + v - 1, where v is 1 if the verifier calls the completion right and 0 if not (Qwen2.5-Math,
// arXiv 2409.12122, reward shaping): right completions are within (0, 1), wrong ones within (-1, 0), so no
// score lifts a wrong one above a right one. Null where the verifier is.
struct ShapeOptions : TransformOptions {
  std::string verifier;
  double alpha = 0.5, correct_above = 0.5;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::string other() const override { return verifier; }
  Transform make() const override;
};

// r e^(-scale |r - r'|), r' what a second scorer says of the completion: where the two disagree, little is
// believed (after Ctrl-U, whose weight of the loss this makes one of the reward). Null where either is.
struct UncertaintyOptions : TransformOptions {
  std::string second;
  double scale = 1.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::string other() const override { return second; }
  Transform make() const override;
};

}  // namespace temper

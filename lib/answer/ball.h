// Formulas in ball arithmetic: a value with a bound of its error (Arb).
#pragma once

#include <acb.h>

#include <cstdint>
#include <optional>

#include "answer/expression.h"

namespace temper {

// A complex ball; a thin owner of Arb's acb_t.
class Ball {
 public:
  Ball() { acb_init(value_); }
  Ball(const Ball& other) : Ball() { acb_set(value_, other.value_); }
  Ball(Ball&& other) noexcept : Ball() { acb_swap(value_, other.value_); }
  Ball& operator=(Ball other) noexcept {
    acb_swap(value_, other.value_);
    return *this;
  }
  ~Ball() { acb_clear(value_); }
  acb_ptr get() { return value_; }
  acb_srcptr get() const { return value_; }
  arb_srcptr real() const { return acb_realref(value_); }

 private:
  acb_t value_;
};

struct BallOptions {
  int64_t precision = 128;  // bits
  uint64_t point = 0;       // where symbols have their values, which are real
  // What \log without a base is to: 10, or 0 for e.
  int64_t log_base = 10;
  // Without, what is not real on the way (the root of -1) has no value, as in school.
  bool complex = false;
};

// nullopt where it has no value (0/0, infinity) or one too large or small to hold.
std::optional<Ball> evaluate(const Expression& e, const BallOptions& options);

}  // namespace temper

#include "answer/same_expression.h"

#include <array>
#include <utility>

#include "answer/ball.h"
#include "answer/modular.h"

namespace temper {
namespace {

using Verdict = std::optional<bool>;

constexpr uint64_t kFieldPoints = 8;
constexpr int kBallPoints = 16;                // where both sides have a value
constexpr uint64_t kMostPoints = 64;           // looked at for them
constexpr int64_t kCoarse = 128, kFine = 640;  // bits
constexpr int64_t kAgree = 300;                // bits that equal values must have in common

Verdict in_field(const Expression& a, const Expression& b, Work& work) {
  const int64_t cost = cost_of(a) + cost_of(b);
  for (uint64_t point = 0; point < kFieldPoints; ++point) {
    if (!work.spend(cost)) return std::nullopt;
    const auto x = value_mod_prime(a, point), y = value_mod_prime(b, point);
    if (!x || !y) return std::nullopt;
    if (*x != *y) return false;
  }
  return true;
}

// Of two balls: false where they have nothing in common, true where they agree in kAgree bits.
Verdict agree(const Ball& x, const Ball& y) {
  Ball difference;
  acb_sub(difference.get(), x.get(), y.get(), kFine);
  if (acb_contains_zero(difference.get()) == 0) return false;
  mag_t off, size;
  mag_init(off);
  mag_init(size);
  acb_get_mag(off, difference.get());
  acb_get_mag_lower(size, x.get());
  // Values that are 0 have no size: agreement is then in bits behind the point.
  const bool small = mag_cmp_2exp_si(size, -kAgree) < 0;
  mag_mul_2exp_si(off, off, kAgree);
  const bool close = small ? mag_cmp_2exp_si(off, 0) < 0 : mag_cmp(off, size) < 0;
  mag_clear(off);
  mag_clear(size);
  return close ? Verdict(true) : std::nullopt;
}

struct Pair {
  std::optional<Ball> x, y;
  bool both() const { return x && y; }
};
Pair at_point(const Expression& a, const Expression& b, const BallOptions& options) {
  Pair pair;
  pair.x = evaluate(a, options);
  pair.y = evaluate(b, options);
  return pair;
}

bool close(const Ball& x, const Ball& exact, double tolerance) {
  Ball difference, room;
  acb_sub(difference.get(), x.get(), exact.get(), kCoarse);
  acb_abs(acb_realref(difference.get()), difference.get(), kCoarse);
  acb_abs(acb_realref(room.get()), exact.get(), kCoarse);
  arb_t factor;
  arb_init(factor);
  arb_set_d(factor, tolerance);
  arb_mul(acb_realref(room.get()), room.real(), factor, kCoarse);
  arb_clear(factor);
  return arb_le(difference.real(), room.real()) != 0;
}

Verdict in_balls(const Expression& a, const Expression& b, BallOptions options, Work& work) {
  const int64_t cost = cost_of(a) + cost_of(b);
  const bool constant = is_constant(a) && is_constant(b);
  options.complex = has_op(a, Op::kI) || has_op(b, Op::kI);
  for (int attempt = 0; attempt < 2; ++attempt) {
    int compared = 0, one_sided = 0;
    bool unsure = false;
    for (uint64_t point = 0; point < kMostPoints && compared < kBallPoints; ++point) {
      options.point = point;
      options.precision = kCoarse;
      if (!work.spend(cost)) return std::nullopt;
      Pair pair = at_point(a, b, options);
      if (!pair.both()) {
        one_sided += pair.x.has_value() != pair.y.has_value() ? 1 : 0;
        if (constant) break;
        continue;
      }
      if (agree(*pair.x, *pair.y) == Verdict(false)) return false;
      options.precision = kFine;
      if (!work.spend(4 * cost)) return std::nullopt;
      pair = at_point(a, b, options);
      const Verdict verdict = pair.both() ? agree(*pair.x, *pair.y) : std::nullopt;
      if (verdict == Verdict(false)) return false;
      unsure = unsure || !verdict;
      ++compared;
      if (constant) break;
    }
    if (unsure) return std::nullopt;
    // log(x^2) and 2 log(x): one has values where the other has none.
    if (compared > 0 && one_sided > 0) return std::nullopt;
    if (compared == kBallPoints || (constant && compared == 1)) return true;
    if (options.complex) return std::nullopt;
    options.complex = true;
  }
  return std::nullopt;
}

// Of oo and -oo; 0 for all else.
int infinite_sign(const Expression& e) {
  return e.op == Op::kInfinity ? 1 : e.op == Op::kNegate && e.args[0].op == Op::kInfinity ? -1 : 0;
}

Verdict equal(const Expression& a, const Expression& b, Work& work) {
  const auto x = rational_value(a), y = rational_value(b);
  if (x && y) return *x == *y;
  if (const Verdict exact = in_field(a, b, work)) return exact;
  if (!has_op(a, Op::kInfinity) && !has_op(b, Op::kInfinity)) {
    const auto unbased = [](const Expression& e) {
      bool found = false;
      each_node(
          e, [&](const Expression& node) { found = found || (node.op == Op::kCall && node.name == "log_"); });
      return found;
    };
    BallOptions options;
    const Verdict common = in_balls(a, b, options, work);
    if (!unbased(a) && !unbased(b)) return common;
    options.log_base = 0;
    const Verdict natural = in_balls(a, b, options, work);
    return common == natural ? common : std::nullopt;
  }
  const int of_a = infinite_sign(a), of_b = infinite_sign(b);
  const bool endless_a = has_op(a, Op::kInfinity), endless_b = has_op(b, Op::kInfinity);
  if ((endless_a && of_a == 0) || (endless_b && of_b == 0)) return std::nullopt;  // sums of infinities
  return of_a == of_b;
}

}  // namespace

std::optional<bool> same_expression(const Expression& a, const Expression& b, double tolerance, Work& work) {
  const Verdict verdict = equal(a, b, work);
  if (verdict != Verdict(false) || tolerance <= 0 || !is_constant(a) || !is_constant(b) ||
      has_decimal(a) == has_decimal(b))
    return verdict;
  const Expression &rounded = has_decimal(a) ? a : b, &exact = has_decimal(a) ? b : a;
  const auto value = rational_value(exact);
  if (value && value->is_integer()) return verdict;
  BallOptions options;
  options.complex = has_op(exact, Op::kI) || has_op(rounded, Op::kI);
  const Pair pair = at_point(rounded, exact, options);
  return pair.both() ? close(*pair.x, *pair.y, tolerance) : verdict;
}

std::optional<int> order(const Expression& a, const Expression& b, Work& work) {
  if (infinite_sign(a) != 0 || infinite_sign(b) != 0)
    return infinite_sign(a) == infinite_sign(b) ? 0 : infinite_sign(a) < infinite_sign(b) ? -1 : 1;
  if (!is_constant(a) || !is_constant(b)) return std::nullopt;
  const Verdict same = equal(a, b, work);
  if (!same) return std::nullopt;
  if (*same) return 0;
  for (const int64_t precision : {kCoarse, kFine}) {
    BallOptions options;
    options.precision = precision;
    const Pair pair = at_point(a, b, options);
    if (!pair.both() || acb_is_real(pair.x->get()) == 0 || acb_is_real(pair.y->get()) == 0)
      return std::nullopt;
    if (arb_lt(pair.x->real(), pair.y->real()) != 0) return -1;
    if (arb_gt(pair.x->real(), pair.y->real()) != 0) return 1;
  }
  return std::nullopt;
}

std::optional<bool> proportional(const Expression& a, const Expression& b, bool positive, Work& work) {
  // a(p) b(q) = a(q) b(p) for all points p and one fixed q, in the field; then the quotient's sign, or all of
  // it, in balls.
  const int64_t cost = cost_of(a) + cost_of(b);
  bool by_field = true;
  std::optional<uint64_t> a0, b0;
  for (uint64_t point = 0; point < kFieldPoints && by_field; ++point) {
    if (!work.spend(cost)) return std::nullopt;
    const auto x = value_mod_prime(a, point), y = value_mod_prime(b, point);
    if (!x || !y) {
      by_field = false;
    } else if (!a0) {
      if (*x == 0 || *y == 0) return *x == 0 && *y == 0 ? Verdict() : Verdict(false);
      a0 = x;
      b0 = y;
    } else {
      if (field_product(*x, *b0) != field_product(*y, *a0)) return false;
    }
  }
  if (by_field && !positive) return true;
  BallOptions options;
  int compared = 0;
  std::optional<Ball> first;
  for (uint64_t point = 0; point < kMostPoints && compared < (by_field ? 1 : kBallPoints); ++point) {
    if (!work.spend(5 * cost)) return std::nullopt;
    options.point = point;
    options.precision = kFine;
    Pair pair = at_point(a, b, options);
    if (!pair.both() || acb_contains_zero(pair.y->get()) != 0 || acb_contains_zero(pair.x->get()) != 0)
      continue;
    Ball quotient;
    acb_div(quotient.get(), pair.x->get(), pair.y->get(), kFine);
    if (positive && arb_is_positive(quotient.real()) == 0) return false;
    if (first) {
      const Verdict verdict = agree(*first, quotient);
      if (!verdict || !*verdict) return verdict;
    } else {
      first = std::move(quotient);
    }
    ++compared;
  }
  return compared == (by_field ? 1 : kBallPoints) ? Verdict(true) : std::nullopt;
}

}  // namespace temper

#include "answer/ball.h"

#include <string_view>
#include <vector>

#include "answer/modular.h"

namespace temper {
namespace {

using Value = std::optional<Ball>;

constexpr int64_t kMaxMagnitude = 1 << 20;  // bits of the largest exponent
constexpr int64_t kMaxFactorial = 100000;

class Evaluator {
 public:
  explicit Evaluator(const BallOptions& options) : options_(options), bits_(options.precision) {}

  Value value(const Expression& e) const {
    Value out = unchecked(e);
    if (!out || !acb_is_finite(out->get())) return std::nullopt;
    mag_t size;
    mag_init(size);
    acb_get_mag(size, out->get());
    const bool held = fmpz_cmpabs_ui_ok(MAG_EXPREF(size));
    mag_clear(size);
    return held ? std::move(out) : std::nullopt;
  }

 private:
  static bool fmpz_cmpabs_ui_ok(const fmpz* exponent) {
    return fmpz_cmp_si(exponent, kMaxMagnitude) <= 0 && fmpz_cmp_si(exponent, -kMaxMagnitude) >= 0;
  }
  static bool is_real(const Ball& x) { return acb_is_real(x.get()) != 0; }
  static bool is_negative(const Ball& x) { return arb_is_negative(x.real()) != 0; }
  static bool is_positive(const Ball& x) { return arb_is_positive(x.real()) != 0; }

  Value unchecked(const Expression& e) const {
    Ball out;
    switch (e.op) {
      case Op::kRational:
        arb_set_fmpq(acb_realref(out.get()), e.value.get(), bits_);
        return out;
      case Op::kPi:
        acb_const_pi(out.get(), bits_);
        return out;
      case Op::kE:
        arb_const_e(acb_realref(out.get()), bits_);
        return out;
      case Op::kI:
        acb_onei(out.get());
        return out;
      case Op::kSymbol:
        place(e.name, out);
        return out;
      case Op::kInfinity:
        return std::nullopt;
      default:
        break;
    }
    std::vector<Ball> args;
    for (const Expression& arg : e.args) {
      Value one = value(arg);
      if (!one) return std::nullopt;
      args.push_back(std::move(*one));
    }
    switch (e.op) {
      case Op::kAdd:
        for (const Ball& arg : args) acb_add(out.get(), out.get(), arg.get(), bits_);
        return out;
      case Op::kMultiply:
        acb_one(out.get());
        for (const Ball& arg : args) acb_mul(out.get(), out.get(), arg.get(), bits_);
        return out;
      case Op::kNegate:
        acb_neg(out.get(), args[0].get());
        return out;
      case Op::kDivide:
        acb_div(out.get(), args[0].get(), args[1].get(), bits_);
        return out;
      case Op::kRoot:
        return root(args[0], e.args[1]);
      case Op::kPower:
        return power(args[0], args[1], e.args[1]);
      case Op::kCall:
        return call(e, args);
      default:
        return std::nullopt;
    }
  }

  // In turn between 0 and 1, 1 and 9, -1 and 0, -9 and 1, with 32 bits behind the point.
  void place(std::string_view symbol, Ball& out) const {
    const int64_t z = static_cast<int64_t>(coordinate(symbol, options_.point) >> 32) + 1;
    constexpr int64_t kOne = int64_t{1} << 32;
    const int64_t places[] = {z, 8 * z + kOne, -z, 10 * z - 9 * kOne};
    arb_set_si(acb_realref(out.get()), places[options_.point % 4]);
    acb_mul_2exp_si(out.get(), out.get(), -32);
  }

  Value root(const Ball& x, const Expression& degree) const {
    const int64_t n = *degree.value.to_int64();
    Ball out;
    if (is_real(x) && is_negative(x) && n % 2 == 1) {  // the real one
      arb_neg(acb_realref(out.get()), x.real());
      acb_root_ui(out.get(), out.get(), static_cast<uint64_t>(n), bits_);
      acb_neg(out.get(), out.get());
      return out;
    }
    if (!options_.complex && (!is_real(x) || is_negative(x))) return std::nullopt;
    acb_root_ui(out.get(), x.get(), static_cast<uint64_t>(n), bits_);
    return out;
  }

  Value power(const Ball& base, const Ball& exponent, const Expression& exact) const {
    Ball out;
    const auto rational = rational_value(exact);
    if (rational && rational->is_integer()) {
      const auto n = rational->to_int64();
      if (!n || !small_power(base, exponent)) return std::nullopt;
      acb_pow_si(out.get(), base.get(), *n, bits_);
      return out;
    }
    if (rational) {
      const auto over = rational->numerator().to_int64(), under = rational->denominator().to_int64();
      if (over && under && *under < 1000) {
        const Value rooted = root(base, Expression::number(Rational::of(*under)));
        if (!rooted || !small_power(*rooted, exponent)) return std::nullopt;
        acb_pow_si(out.get(), rooted->get(), *over, bits_);
        return out;
      }
    }
    if (!options_.complex && (!is_real(base) || !is_real(exponent) || is_negative(base))) return std::nullopt;
    if (acb_is_zero(base.get()) != 0 || !small_power(base, exponent)) return std::nullopt;
    acb_pow(out.get(), base.get(), exponent.get(), bits_);
    return out;
  }

  // Whether |exponent * log base| is a number of bits that can be held.
  bool small_power(const Ball& base, const Ball& exponent) const {
    if (acb_is_zero(base.get()) != 0 || acb_is_one(base.get()) != 0) return true;
    Ball size;
    acb_log(size.get(), base.get(), 32);
    acb_mul(size.get(), size.get(), exponent.get(), 32);
    mag_t bound;
    mag_init(bound);
    acb_get_mag(bound, size.get());
    const bool small = mag_cmp_2exp_si(bound, 20) < 0;
    mag_clear(bound);
    return small;
  }

  Value call(const Expression& e, const std::vector<Ball>& args) const {
    const Ball& x = args[0];
    Ball out;
    if (const auto simple = elementary(e.name)) {
      // Of huge arguments sine and exponential cost their bits.
      if (mag_cmp_2exp_si(arb_radref(acb_realref(x.get())), 0) > 0) return std::nullopt;
      if (acb_cmp_large(x)) return std::nullopt;
      simple(out.get(), x.get(), bits_);
      return out;
    }
    if (e.name == "ln" || e.name == "log" || e.name == "log_") return logarithm(e, args);
    if (e.name == "arcsin" || e.name == "arccos" || e.name == "arctan" || e.name == "arccot")
      return inverse(e.name, x);
    if (e.name == "abs") {
      acb_abs(acb_realref(out.get()), x.get(), bits_);
      return out;
    }
    if (e.name == "conjugate") {
      acb_conj(out.get(), x.get());
      return out;
    }
    if (e.name == "floor" || e.name == "ceil") return rounded(e.name == "floor", x);
    if (e.name == "factorial") return factorial(x);
    if (e.name == "binom") {
      const Value n = factorial(x), k = factorial(args[1]);
      Ball difference;
      acb_sub(difference.get(), x.get(), args[1].get(), bits_);
      const Value rest = factorial(difference);
      if (!n || !k || !rest) return std::nullopt;
      acb_div(out.get(), n->get(), k->get(), bits_);
      acb_div(out.get(), out.get(), rest->get(), bits_);
      return out;
    }
    return std::nullopt;
  }

  using Elementary = void (*)(acb_ptr, acb_srcptr, slong);
  static Elementary elementary(std::string_view name) {
    if (name == "sin") return &acb_sin;
    if (name == "cos") return &acb_cos;
    if (name == "tan") return &acb_tan;
    if (name == "cot") return &acb_cot;
    if (name == "sec") return &acb_sec;
    if (name == "csc") return &acb_csc;
    if (name == "sinh") return &acb_sinh;
    if (name == "cosh") return &acb_cosh;
    if (name == "tanh") return &acb_tanh;
    return nullptr;
  }
  static bool acb_cmp_large(const Ball& x) {
    mag_t size;
    mag_init(size);
    acb_get_mag(size, x.get());
    const bool large = mag_cmp_2exp_si(size, 20) > 0;
    mag_clear(size);
    return large;
  }

  Value logarithm(const Expression& e, const std::vector<Ball>& args) const {
    std::vector<Ball> parts = {args[0]};
    if (e.name == "log") parts.push_back(args[1]);
    if (e.name == "log_" && options_.log_base != 0) {
      parts.emplace_back();
      acb_set_si(parts.back().get(), options_.log_base);
    }
    for (Ball& part : parts) {
      if (!options_.complex && (!is_real(part) || !is_positive(part))) return std::nullopt;
      Ball out;
      acb_log(out.get(), part.get(), bits_);
      part = std::move(out);
    }
    if (parts.size() == 2) acb_div(parts[0].get(), parts[0].get(), parts[1].get(), bits_);
    return parts[0];
  }

  Value inverse(std::string_view name, const Ball& x) const {
    Ball out, one;
    acb_one(one.get());
    if (name == "arctan" || name == "arccot") {
      acb_atan(out.get(), x.get(), bits_);
      if (name == "arctan") return out;
      Ball quarter;
      acb_const_pi(quarter.get(), bits_);
      acb_mul_2exp_si(quarter.get(), quarter.get(), -1);
      acb_sub(out.get(), quarter.get(), out.get(), bits_);
      return out;
    }
    if (!options_.complex && (!is_real(x) || mag_outside_one(x))) return std::nullopt;
    (name == "arcsin" ? acb_asin : acb_acos)(out.get(), x.get(), bits_);
    return out;
  }
  // |x| > 1 for certain.
  bool mag_outside_one(const Ball& x) const {
    Ball size;
    acb_abs(acb_realref(size.get()), x.get(), bits_);
    arb_sub_ui(acb_realref(size.get()), size.real(), 1, bits_);
    return is_positive(size);
  }

  Value rounded(bool down, const Ball& x) const {
    if (!is_real(x)) return std::nullopt;
    Ball out;
    (down ? arb_floor : arb_ceil)(acb_realref(out.get()), x.real(), bits_);
    return arb_is_exact(out.real()) ? Value(out) : std::nullopt;
  }

  // Gamma(x + 1).
  Value factorial(const Ball& x) const {
    if (!is_real(x) || acb_cmp_large_than(x, kMaxFactorial)) return std::nullopt;
    Ball next, out;
    acb_add_ui(next.get(), x.get(), 1, bits_);
    acb_gamma(out.get(), next.get(), bits_);
    return out;
  }
  static bool acb_cmp_large_than(const Ball& x, int64_t bound) {
    Ball limit;
    acb_set_si(limit.get(), bound);
    return arb_lt(x.real(), limit.real()) == 0;
  }

  const BallOptions& options_;
  int64_t bits_;
};

}  // namespace

std::optional<Ball> evaluate(const Expression& e, const BallOptions& options) {
  return Evaluator(options).value(e);
}

}  // namespace temper

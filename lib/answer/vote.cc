#include "answer/vote.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "answer/ball.h"
#include "answer/modular.h"
#include "answer/real_set.h"

namespace temper {
namespace {

constexpr uint64_t kPoints = 3;
constexpr int64_t kMostCost = 2000;

// A ball as the double nearest to its middle, which rounding does not touch at this precision.
std::string ball_value(const Expression& e, uint64_t point) {
  for (const bool complex : {false, true}) {
    if (!complex && has_op(e, Op::kI)) continue;
    const auto ball = evaluate(e, {.precision = 320, .point = point, .complex = complex});
    if (!ball) continue;
    const auto part = [](arb_srcptr x) {
      const double value = arf_get_d(arb_midref(x), ARF_RND_NEAR);
      return fmt::format("{:.12g}", value > -1e-60 && value < 1e-60 ? 0.0 : value);
    };
    return part(acb_realref(ball->get())) + "," + part(acb_imagref(ball->get()));
  }
  return "-";
}

std::string fingerprint(const Expression& e) {
  if (cost_of(e) > kMostCost || has_op(e, Op::kInfinity)) return to_string(e);
  std::string field, balls;
  for (uint64_t point = 0; point < kPoints; ++point) {
    const auto value = value_mod_prime(e, point);
    field += value ? fmt::format("{:x}.", *value) : "-";
    if (!value) balls += ball_value(e, point) + ".";
  }
  return field.find('-') == std::string::npos ? field : balls;
}

// Of a formula that is 0 or not: its values over the first one's.
std::string up_to_factor(const Expression& zero) {
  const auto first = value_mod_prime(zero, 0);
  std::string out;
  for (uint64_t point = 1; point <= kPoints && first && *first != 0; ++point) {
    const auto value = value_mod_prime(zero, point);
    if (!value) break;
    out += fmt::format("{:x}.", field_product(field_inverse(*first), *value));
  }
  return out.empty() ? to_string(zero) : out;
}

std::string joined_keys(const std::vector<FinalAnswer>& parts, bool sorted) {
  std::vector<std::string> votes;
  for (const FinalAnswer& part : parts) votes.push_back(vote(part));
  if (sorted) std::sort(votes.begin(), votes.end());
  return fmt::format("{}", fmt::join(votes, ", "));
}

}  // namespace

std::string vote(const FinalAnswer& answer) {
  switch (answer.kind) {
    case AnswerKind::kNumber:
      return canonical(*answer.number);
    case AnswerKind::kExpression: {
      const auto value = rational_value(answer.value);
      return value ? value->to_string() : "expression " + fingerprint(answer.value);
    }
    case AnswerKind::kEquation:
      return "equation " + up_to_factor(Expression::of(
                               Op::kAdd, {answer.sides[0], Expression::of(Op::kNegate, {answer.sides[1]})}));
    case AnswerKind::kInequality: {
      const auto set = solution_set(answer);
      return set ? vote(*set) : to_string(answer);
    }
    case AnswerKind::kTuple:
    case AnswerKind::kInterval:
      return answer.open + joined_keys(answer.parts, false) + answer.close;
    case AnswerKind::kUnion:
      return "union " + joined_keys(answer.parts, true);
    case AnswerKind::kSet:
    case AnswerKind::kList:
      return "{" + joined_keys(answer.parts, true) + "}";
    case AnswerKind::kMatrix:
      return fmt::format("matrix {} {}", answer.columns, joined_keys(answer.parts, false));
    case AnswerKind::kChoice:
      return answer.text;
    default:
      return to_string(answer);
  }
}

}  // namespace temper

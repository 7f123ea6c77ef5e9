#include "answer/answer.h"

namespace temper {
namespace {

constexpr std::string_view kKindNames[] = {"number",   "expression", "equation", "inequality", "tuple",
                                           "interval", "union",      "set",      "list",       "matrix",
                                           "base",     "ratio",      "time",     "choice",     "text"};

std::string joined(const std::vector<FinalAnswer>& parts, const char* between) {
  std::string out;
  for (const FinalAnswer& part : parts) out += (out.empty() ? "" : between) + to_string(part);
  return out;
}

const char* sign_of(Relation relation) {
  switch (relation) {
    case Relation::kLess:
      return " < ";
    case Relation::kLessEqual:
      return " <= ";
    case Relation::kGreater:
      return " > ";
    case Relation::kGreaterEqual:
      return " >= ";
    case Relation::kNotEqual:
      return " != ";
  }
  return "";
}

}  // namespace

std::string to_string(const FinalAnswer& answer) {
  switch (answer.kind) {
    case AnswerKind::kNumber:
      return canonical(*answer.number);
    case AnswerKind::kExpression:
      return to_string(answer.value);
    case AnswerKind::kEquation:
      return to_string(answer.sides[0]) + " = " + to_string(answer.sides[1]);
    case AnswerKind::kInequality: {
      std::string out = to_string(answer.sides[0]);
      for (size_t i = 0; i < answer.relations.size(); ++i)
        out += sign_of(answer.relations[i]) + to_string(answer.sides[i + 1]);
      return out;
    }
    case AnswerKind::kTuple:
    case AnswerKind::kInterval:
      return answer.open + joined(answer.parts, ", ") + answer.close;
    case AnswerKind::kUnion:
      return joined(answer.parts, " u ");
    case AnswerKind::kSet:
      return "{" + joined(answer.parts, ", ") + "}";
    case AnswerKind::kList:
      return joined(answer.parts, ", ");
    case AnswerKind::kMatrix: {
      std::string out;
      for (size_t i = 0; i < answer.parts.size(); ++i) {
        const bool starts = i % static_cast<size_t>(answer.columns) == 0;
        out += (i == 0 ? "[" : starts ? "; " : ", ") + to_string(answer.parts[i]);
      }
      return out + "]";
    }
    case AnswerKind::kBase:
      return answer.text + "_" + std::to_string(answer.columns);
    case AnswerKind::kRatio:
      return joined(answer.parts, ":");
    case AnswerKind::kTime:
      return joined(answer.parts, ":") + (answer.text.empty() ? "" : " " + answer.text);
    case AnswerKind::kChoice:
      return answer.text + (answer.parts.empty() ? "" : ": " + joined(answer.parts, ""));
    case AnswerKind::kText:
      return answer.text;
  }
  return {};
}

std::string_view name_of(AnswerKind kind) {
  return kKindNames[static_cast<size_t>(kind)];
}

const std::vector<std::string>& answer_kinds() {
  static const std::vector<std::string> names(std::begin(kKindNames), std::end(kKindNames));
  return names;
}

}  // namespace temper

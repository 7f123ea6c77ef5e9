#include "answer/value.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "answer/number_context.h"
#include "answer/reader.h"
#include "answer/token.h"

namespace temper {
namespace {

constexpr size_t kMostPlain = 64;  // letters of words that differ from others for certain

// The letter in front of "=" in "$x$ = 5"; "" where something else stands there.
std::string one_letter_name(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {};
  std::string name;
  for (const char c : text.substr(0, equals)) {
    if (c == '$' || blank(c)) continue;
    if (!name.empty() || !std::isalpha(static_cast<unsigned char>(c))) return {};
    name = c;
  }
  return name;
}

// A formula whose value is rational as a number, with its unit.
void settle(FinalAnswer& answer) {
  for (FinalAnswer& part : answer.parts) settle(part);
  if (answer.kind == AnswerKind::kEquation) {
    if (answer.name.empty() && answer.sides[1].op == Op::kSymbol && is_constant(answer.sides[0])) {
      std::swap(answer.sides[0], answer.sides[1]);  // 5 = x
      answer.name = answer.sides[0].name;
    }
    if (!answer.name.empty() && is_constant(answer.sides[1])) {
      answer.kind = AnswerKind::kExpression;
      answer.value = std::move(answer.sides[1]);
      answer.worked_out = answer.value.op == Op::kRational || !rational_value(answer.value);
      answer.sides.clear();
    }
  }
  if (answer.kind == AnswerKind::kExpression) {
    if (auto value = rational_value(answer.value)) {
      answer.number.emplace();
      answer.number->value = std::move(*value);
      answer.number->decimal = has_decimal(answer.value);
      answer.number->unit = answer.unit;
      answer.number->worked_out = answer.worked_out;
      answer.kind = AnswerKind::kNumber;
      answer.value = {};
    }
  }
  const bool holds_one = answer.kind == AnswerKind::kSet || answer.kind == AnswerKind::kList;
  if (holds_one && answer.parts.size() == 1) {
    FinalAnswer one = std::move(answer.parts.front());
    answer = std::move(one);
  }
}

// A letter from A to J, alone or in front of what it stands for.
std::optional<FinalAnswer> read_choice(const std::vector<Token>& tokens, std::string_view text) {
  // What \text{} and \textbf{} hold is looked at with the rest: their braces and names go.
  std::string flat;
  for (size_t i = 0; i + 1 < tokens.size() && flat.size() < 8; ++i) {
    if (tokens[i].kind == Token::Kind::kCommand || tokens[i].kind == Token::Kind::kNumeral) flat += '#';
    const bool bold = tokens[i].text.substr(0, 4) == "vec ";
    flat += bold ? tokens[i].text.substr(4) : tokens[i].text;
  }
  const bool opens = !flat.empty() && flat[0] == '(';
  const size_t at = opens ? 1 : 0;
  if (flat.size() <= at || flat[at] < 'A' || flat[at] > 'J') return std::nullopt;
  FinalAnswer out;
  out.kind = AnswerKind::kChoice;
  out.text = flat.substr(at, 1);
  const std::string_view rest = std::string_view(flat).substr(at + 1);
  if (rest.empty() && !opens) return out;
  if (rest == ")" || rest == "." || rest == ":") return out;
  const char mark = rest.empty() ? '\0' : rest[0];
  if (mark != ')' && (opens || (mark != '.' && mark != ':'))) return std::nullopt;
  // What follows the mark in the text itself.
  const size_t letter = text.find(out.text[0] + std::string(1, mark));
  if (letter == std::string_view::npos) return std::nullopt;
  size_t begin = letter + 2;
  while (begin < text.size() && (text[begin] == '}' || text[begin] == '$' || blank(text[begin]))) ++begin;
  if (begin < text.size()) {
    auto content = read_value(text.substr(begin));
    if (content && content->kind != AnswerKind::kChoice) out.parts.push_back(std::move(*content));
  }
  return out;
}

// Whether words alone stand there, one of which is no run of single letters.
bool only_words(const std::vector<Token>& tokens) {
  bool words = false;
  for (const Token& t : tokens) {
    words = words || t.kind == Token::Kind::kText;
    if (t.kind == Token::Kind::kText || t.kind == Token::Kind::kLetter || t.kind == Token::Kind::kEnd)
      continue;
    return false;
  }
  return words;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return c < 0x80 ? std::tolower(c) : c; });
  return text;
}

// Words keep their spaces; of formulas the tokens stand close together.
FinalAnswer as_text(const std::optional<std::vector<Token>>& tokens, std::string_view text) {
  FinalAnswer out;
  if (!tokens) {
    for (const char c : text)
      if (!blank(c)) out.text += c;
    return out;
  }
  bool words = false, plain = true;
  for (const Token& t : *tokens) {
    words = words || t.kind == Token::Kind::kText;
    const bool joins = t.command("and") || t.command("or");
    const bool mark =
        t.kind == Token::Kind::kMark && std::string_view(".,'-():").find(t.text) != std::string_view::npos;
    plain = plain && (joins || mark || (t.kind != Token::Kind::kCommand && t.kind != Token::Kind::kMark));
  }
  plain = plain && words;
  for (const Token& t : *tokens) {
    if (plain && t.mark(".")) continue;
    const bool close = t.kind == Token::Kind::kMark || (t.kind == Token::Kind::kLetter && !t.blank_before);
    if (plain && !close && !out.text.empty()) out.text += ' ';
    const bool command = t.kind == Token::Kind::kCommand && !plain;
    out.text += command ? "\\" + t.text : t.kind == Token::Kind::kNumeral ? t.value.to_string() : t.text;
  }
  while (!out.text.empty() && (out.text.back() == '.' || out.text.back() == ' ')) out.text.pop_back();
  out.plain = plain && out.text.size() <= kMostPlain;
  if (plain) out.text = lower(std::move(out.text));
  return out;
}

}  // namespace

std::optional<FinalAnswer> read_value(std::string_view text) {
  text = without_blanks(text);
  if (text.empty()) return std::nullopt;
  if (auto number = read_number(text)) {
    FinalAnswer out;
    out.kind = AnswerKind::kNumber;
    out.name = one_letter_name(text);
    out.worked_out = number->worked_out;
    if (number->unit.empty() && text.find("\\$") != std::string_view::npos) number->unit = "dollars";
    out.number = std::move(number);
    return out;
  }
  const auto tokens = tokens_of(text);
  if (tokens && tokens->size() == 2 && tokens->front().kind == Token::Kind::kText) {
    // \text{1:03 PM}, \text{A, D}
    const std::string& inside = tokens->front().text;
    if (inside != text && inside.find_first_of("0123456789,(") != std::string::npos) {
      auto answer = read_value(inside);
      if (answer && answer->kind != AnswerKind::kText) return answer;
    }
  }
  if (tokens && tokens->size() > 1) {
    if (auto choice = read_choice(*tokens, text)) return choice;
  }
  if (tokens && tokens->size() > 1 && !only_words(*tokens)) {
    if (auto answer = read_tokens(*tokens)) {
      settle(*answer);
      // "odd" may have been meant as a word.
      const auto is_letter = [](const Token& t) {
        return t.kind == Token::Kind::kLetter || t.kind == Token::Kind::kEnd;
      };
      if (answer->kind == AnswerKind::kExpression && std::all_of(tokens->begin(), tokens->end(), is_letter)) {
        for (const Token& t : *tokens) answer->text += lower(t.text);
      }
      return answer;
    }
  }
  FinalAnswer out = as_text(tokens, text);
  return out.text.empty() ? std::nullopt : std::optional(std::move(out));
}

}  // namespace temper

#include "reward/remote/judge_answer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "reward/text/json_reward.h"

namespace temper {
namespace {

constexpr std::string_view kThought = "</think>";
constexpr double kLeast = 1e-9;  // probability, where rounding leaves less

bool is_latin(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_decimal(char c) {
  return c >= '0' && c <= '9';
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// Punctuation beyond ASCII, as ASCII has it; all other characters there are taken for letters.
std::string ascii_punctuation(std::string text) {
  for (const std::string_view mark : {"\u3002", "\uff0c", "\uff01", "\uff1a", "\u201c", "\u201d", "\u2014"})
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos;) text.replace(at, mark.size(), ".");
  return text;
}

bool same_word(const std::string& a, const std::string& b) {
  return b.size() > 1 ? lower(a) == lower(b) : a == b;
}

std::string trimmed_answer(const std::string& text) {
  const char* blanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(blanks);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

const Json* at(const Json* json, const char* key) {
  if (json == nullptr || !json->is_object()) return nullptr;
  const auto found = json->find(key);
  return found == json->end() ? nullptr : &*found;
}
const Json* at(const Json* json, size_t index) {
  return json != nullptr && json->is_array() && index < json->size() ? &(*json)[index] : nullptr;
}
std::optional<std::string> text_of(const Json* json) {
  return json != nullptr && json->is_string() ? std::optional(json->get<std::string>()) : std::nullopt;
}
// A log-probability: a number of at most 0 (rounding aside).
std::optional<double> logprob_of(const Json* json) {
  if (json == nullptr || !json->is_number()) return std::nullopt;
  const double x = json->get<double>();
  return std::isfinite(x) && x < 0.01 ? std::optional(x) : std::nullopt;
}

// "logprobs": {"content": [{"token", "logprob", "top_logprobs": [{"token", "logprob"}]}]}
std::vector<JudgeToken> chat_tokens(const Json* content) {
  std::vector<JudgeToken> out;
  for (size_t i = 0; at(content, i) != nullptr; ++i) {
    const Json* token = at(content, i);
    JudgeToken one{text_of(at(token, "token")).value_or(""), {}};
    bool listed = false;
    const Json* top = at(token, "top_logprobs");
    for (size_t k = 0; at(top, k) != nullptr; ++k) {
      const auto text = text_of(at(at(top, k), "token"));
      const auto logprob = logprob_of(at(at(top, k), "logprob"));
      if (!text || !logprob) continue;
      listed = listed || *text == one.text;
      one.top.emplace_back(*text, *logprob);
    }
    const auto own = logprob_of(at(token, "logprob"));
    if (!listed && own) one.top.emplace_back(one.text, *own);
    out.push_back(std::move(one));
  }
  return out;
}

// "logprobs": {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{token: logprob}]}
std::vector<JudgeToken> text_tokens(const Json* logprobs) {
  std::vector<JudgeToken> out;
  const Json* tokens = at(logprobs, "tokens");
  for (size_t i = 0; at(tokens, i) != nullptr; ++i) {
    JudgeToken one{text_of(at(tokens, i)).value_or(""), {}};
    bool listed = false;
    if (const Json* top = at(at(logprobs, "top_logprobs"), i); top != nullptr && top->is_object()) {
      for (const auto& [text, value] : top->items()) {
        const auto logprob = logprob_of(&value);
        if (!logprob) continue;
        listed = listed || text == one.text;
        one.top.emplace_back(text, *logprob);
      }
    }
    const auto own = logprob_of(at(at(logprobs, "token_logprobs"), i));
    if (!listed && own) one.top.emplace_back(one.text, *own);
    out.push_back(std::move(one));
  }
  return out;
}

// Leaves what comes behind the thought, where there is one.
void drop_thought(JudgeReply& reply) {
  const size_t end = reply.text.rfind(kThought);
  if (end == std::string::npos) return;
  reply.text.erase(0, end + kThought.size());
  std::string seen;
  size_t first = 0;
  for (size_t i = 0; i < reply.tokens.size(); ++i) {
    seen += reply.tokens[i].text;
    if (seen.find(kThought) != std::string::npos) {
      seen.clear();
      first = i + 1;
    }
    if (seen.size() > 2 * kThought.size()) seen.erase(0, seen.size() - kThought.size());
  }
  reply.tokens.erase(reply.tokens.begin(), reply.tokens.begin() + static_cast<std::ptrdiff_t>(first));
}

// A number that begins at `i`, and where it ends; thousands may stand apart by commas.
double number_at(const std::string& text, size_t i, size_t& end) {
  std::string digits;
  const size_t begin = i;
  if (text[i] == '-') digits += text[i++];
  const auto three = [&](size_t k) {
    return k + 3 < text.size() && is_decimal(text[k + 1]) && is_decimal(text[k + 2]) &&
           is_decimal(text[k + 3]) && (k + 4 == text.size() || !is_decimal(text[k + 4]));
  };
  for (; i < text.size(); ++i) {
    if (text[i] == ',' && i - begin <= 4 && three(i)) continue;
    if (!is_decimal(text[i]) && !(text[i] == '.' && i + 1 < text.size() && is_decimal(text[i + 1]) &&
                                  digits.find('.') == std::string::npos))
      break;
    digits += text[i];
  }
  end = i;
  double value = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

struct NumberAt {
  double value;
  size_t begin, end;
};

std::vector<NumberAt> numbers_in(const std::string& text) {
  std::vector<NumberAt> out;
  for (size_t i = 0; i < text.size();) {
    const bool glued = i > 0 && (is_latin(text[i - 1]) || text[i - 1] == '_');
    const bool before_digit = i + 1 < text.size() && is_decimal(text[i + 1]);
    const bool sign = text[i] == '-' && before_digit &&
                      (i == 0 || (!is_latin(text[i - 1]) && !is_decimal(text[i - 1]) && text[i - 1] != ')'));
    const bool point =
        text[i] == '.' && before_digit && (i == 0 || std::strchr(" \t\n:=(", text[i - 1]) != nullptr);
    if (!is_decimal(text[i]) && !sign && !point) {
      ++i;
      continue;
    }
    size_t end = i;
    const double value = number_at(text, i, end);
    if (!glued && std::isfinite(value)) out.push_back({value, i, end});
    i = end;
  }
  return out;
}

}  // namespace

std::optional<JudgeReply> read_judge_reply(const std::string& body) {
  Json json;
  try {
    json = parse_json(body, "answer");
  } catch (const UserError&) {
    return std::nullopt;
  }
  const Json* choice = at(at(&json, "choices"), size_t{0});
  const Json* message = at(choice, "message");
  const auto text = text_of(message != nullptr ? at(message, "content") : at(choice, "text"));
  if (!text) return std::nullopt;
  const Json* logprobs = at(choice, "logprobs");
  JudgeReply reply{*text, message != nullptr ? chat_tokens(at(logprobs, "content")) : text_tokens(logprobs)};
  drop_thought(reply);
  return reply;
}

std::optional<double> last_number(const std::string& text, double max) {
  const std::vector<NumberAt> all = numbers_in(text);
  if (all.empty()) return std::nullopt;
  if (all.size() > 1 && all.back().value == max) {
    const NumberAt& before = all[all.size() - 2];
    const std::string between = lower(trimmed_answer(text.substr(before.end, all.back().begin - before.end)));
    if (between == "/" || between == "out of") return before.value;
  }
  return all.back().value;
}

std::optional<double> field_number(const std::string& text, const std::string& field) {
  const auto found = find_json(text, "first");
  if (!found || !found->is_object() || !found->contains(field)) return std::nullopt;
  const auto& value = (*found)[field];
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::optional<bool> said_word(const std::string& said, const std::string& yes, const std::string& no) {
  const std::string text = ascii_punctuation(said);
  const auto which = [&](const std::string& word) {
    if (same_word(word, yes)) return std::optional(true);
    return same_word(word, no) ? std::optional(false) : std::nullopt;
  };
  const auto in_word = [](char c) {
    return is_latin(c) || is_decimal(c) || (static_cast<unsigned char>(c) & 0x80) != 0;
  };
  const auto begin = std::find_if(text.begin(), text.end(), in_word);
  if (begin == text.end()) return std::nullopt;
  const auto end = std::find_if_not(begin, text.end(), in_word);
  if (end == text.end() || (*end != ' ' && *end != '\t' && *end != '\'' && *end != '-')) {
    if (const auto said = which(std::string(begin, end))) return said;
  }
  const auto last_end = std::find_if(text.rbegin(), text.rend(), in_word).base();
  const auto last_begin = std::find_if_not(std::make_reverse_iterator(last_end), text.rend(), in_word).base();
  return which(std::string(last_begin, last_end));
}

std::optional<double> word_log_odds(const JudgeReply& reply, const std::string& yes, const std::string& no) {
  for (const JudgeToken& token : reply.tokens) {
    double p[2] = {0, 0}, least = 1, listed = 0;
    for (const auto& [text, logprob] : token.top) {
      const double one = std::exp(logprob);
      least = std::min(least, one);
      listed += one;
      if (same_word(trimmed_answer(text), yes)) p[0] += one;
      if (same_word(trimmed_answer(text), no)) p[1] += one;
    }
    if (p[0] == 0 && p[1] == 0) continue;
    const double bound = std::max(std::min(least, 1 - listed), kLeast);
    return std::log(p[0] > 0 ? p[0] : bound) - std::log(p[1] > 0 ? p[1] : bound);
  }
  return std::nullopt;
}

}  // namespace temper

#include "data/select/states.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>

#include "base/error.h"

namespace temper {
namespace {

using Variables = std::map<std::string, double>;

bool is_name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

// expression := term (+|- term)*, term := factor (*|/ factor)*, factor := number | name | (expression) |
// -factor
class Arithmetic {
 public:
  Arithmetic(const std::string& text, const Variables& variables) : text_(text), variables_(variables) {}
  // Nothing where the text is no expression.
  std::optional<double> value() {
    const auto out = sum();
    skip();
    return at_ == text_.size() && out && std::isfinite(*out) ? out : std::nullopt;
  }

 private:
  static constexpr int kDeepest = 100;

  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::optional<double> sum() {
    auto out = product();
    while (out) {
      const bool plus = take('+');
      if (!plus && !take('-')) break;
      const auto next = product();
      out = next ? std::optional(plus ? *out + *next : *out - *next) : std::nullopt;
    }
    return out;
  }
  std::optional<double> product() {
    auto out = factor();
    while (out) {
      const bool times = take('*');
      if (!times && !take('/')) break;
      const auto next = factor();
      out = next ? std::optional(times ? *out * *next : *out / *next) : std::nullopt;
    }
    return out;
  }
  std::optional<double> factor() {
    if (++depth_ > kDeepest) return std::nullopt;
    std::optional<double> out;
    if (take('-')) {
      out = factor();
      if (out) out = -*out;
    } else if (take('(')) {
      out = sum();
      if (!take(')')) out.reset();
    } else {
      skip();
      const size_t begin = at_;
      while (at_ < text_.size() && (is_name_char(text_[at_]) || text_[at_] == '.')) ++at_;
      const std::string word = text_.substr(begin, at_ - begin);
      if (!word.empty() && std::isdigit(static_cast<unsigned char>(word[0]))) {
        char* end = nullptr;
        const double number = std::strtod(word.c_str(), &end);
        if (*end == '\0') out = number;
      } else if (const auto known = variables_.find(word); known != variables_.end()) {
        out = known->second;
      }
    }
    --depth_;
    return out;
  }

  const std::string& text_;
  const Variables& variables_;
  size_t at_ = 0;
  int depth_ = 0;
};

// "name = expression", or nothing.
std::optional<std::pair<std::string, double>> assignment(const std::string& line,
                                                         const Variables& variables) {
  const size_t equals = line.find('=');
  if (equals == std::string::npos) return std::nullopt;
  std::string name = line.substr(0, equals);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  while (!name.empty() && name.front() == ' ') name.erase(0, 1);
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return std::nullopt;
  if (!std::all_of(name.begin(), name.end(), is_name_char)) return std::nullopt;
  const auto value = Arithmetic(line.substr(equals + 1), variables).value();
  if (!value) return std::nullopt;
  return std::pair{name, *value};
}

std::optional<double> last_number(const std::string& line) {
  size_t end = line.find_last_of("0123456789");
  if (end == std::string::npos) return std::nullopt;
  size_t begin = end;
  while (begin > 0 && (std::isdigit(static_cast<unsigned char>(line[begin - 1])) || line[begin - 1] == '.' ||
                       line[begin - 1] == ','))
    --begin;
  std::string digits;
  for (const char c : line.substr(begin, end + 1 - begin))
    if (c != ',') digits += c;
  const double value = std::strtod(digits.c_str(), nullptr);
  const bool minus = begin > 0 && line[begin - 1] == '-' &&
                     (begin == 1 || !std::isalnum(static_cast<unsigned char>(line[begin - 2])));
  return minus ? -value : value;
}

}  // namespace

std::vector<std::string> solution_steps(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    const std::string line = text.substr(at, end - at);
    const bool blank = line.find_first_not_of(" \t\r\n") == std::string::npos;
    if (blank && !out.empty())
      out.back() += line;
    else
      out.push_back(line);
    at = end;
  }
  return out;
}

std::vector<SolutionState> solution_states(const std::vector<std::string>& steps) {
  Variables variables;
  std::map<size_t, double> unnamed;
  std::vector<SolutionState> out;
  for (const std::string& step : steps) {
    std::string line = step;
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (const auto named = assignment(line, variables))
      variables[named->first] = named->second;
    else if (const auto number = last_number(line))
      unnamed[out.size()] = *number;
    SolutionState state;
    for (const auto& [name, value] : variables) state.push_back(fmt::format("{:.9g}", value));
    for (const auto& [line_number, value] : unnamed) state.push_back(fmt::format("{:.9g}", value));
    std::sort(state.begin(), state.end());
    out.push_back(std::move(state));
  }
  return out;
}

}  // namespace temper

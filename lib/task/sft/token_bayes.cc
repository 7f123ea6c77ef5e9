#include "task/sft/token_bayes.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace temper {
namespace {

std::vector<int64_t> distinct(std::vector<int64_t> text) {
  std::sort(text.begin(), text.end());
  text.erase(std::unique(text.begin(), text.end()), text.end());
  return text;
}

}  // namespace

TokenBayes::TokenBayes(int64_t vocab, double smoothing) : smoothing_(smoothing) {
  for (auto& with : with_) with.assign(static_cast<size_t>(vocab), 0);
}

void TokenBayes::learn(const std::vector<int64_t>& text, bool label) {
  ++texts_[label];
  for (const int64_t v : distinct(text)) ++with_[label].at(static_cast<size_t>(v));
  fresh_ = false;
}

double TokenBayes::absent(int c) const {
  // Most of a vocabulary was never seen: its terms are all the same.
  const double texts = static_cast<double>(texts_[c]) + 2 * smoothing_;
  double sum = 0;
  int64_t never = 0;
  for (const int64_t n : with_[c]) {
    if (n == 0)
      ++never;
    else
      sum += std::log1p(-(static_cast<double>(n) + smoothing_) / texts);
  }
  return sum + static_cast<double>(never) * std::log1p(-smoothing_ / texts);
}

double TokenBayes::log_probability(const std::vector<int64_t>& text, bool label) const {
  if (texts_[0] + texts_[1] == 0) return std::log(0.5);
  for (const int c : {0, 1})
    if (texts_[c] == 0) return label == (c == 1) ? -HUGE_VAL : 0.0;
  if (!fresh_) absent_ = {absent(0), absent(1)};
  fresh_ = true;
  double joint[2];
  for (const int c : {0, 1}) {
    joint[c] = std::log(static_cast<double>(texts_[c])) + absent_[c];
    for (const int64_t v : distinct(text)) {
      const double has = static_cast<double>(with_[c].at(static_cast<size_t>(v))) + smoothing_;
      joint[c] += std::log(has / (static_cast<double>(texts_[c]) + 2 * smoothing_ - has));
    }
  }
  const double against = joint[!label] - joint[label];
  return -(std::max(against, 0.0) + std::log1p(std::exp(-std::abs(against))));
}

Json TokenBayes::state() const {
  Json tokens = Json::array();
  for (size_t v = 0; v < with_[0].size(); ++v) {
    if (with_[0][v] + with_[1][v] == 0) continue;
    for (const int64_t n : {static_cast<int64_t>(v), with_[0][v], with_[1][v]}) tokens.push_back(n);
  }
  return {{"texts", texts_}, {"tokens", std::move(tokens)}};
}

void TokenBayes::load(const Json& state, const std::string& where) {
  const auto counts = [](const Json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& n) {
             return n.is_number_integer() && n.get<int64_t>() >= 0;
           });
  };
  const bool sound = state.is_object() && state.contains("texts") && state.contains("tokens") &&
                     counts(state["texts"]) && state["texts"].size() == 2 && counts(state["tokens"]) &&
                     state["tokens"].size() % 3 == 0;
  if (!sound) user_error("{}: the filter's predictor: expected counts of texts and tokens", where);
  texts_ = state["texts"].get<std::array<int64_t, 2>>();
  for (auto& with : with_) std::fill(with.begin(), with.end(), 0);
  const auto tokens = state["tokens"].get<std::vector<int64_t>>();
  for (size_t i = 0; i < tokens.size(); i += 3) {
    if (tokens[i] >= static_cast<int64_t>(with_[0].size()) || tokens[i + 1] > texts_[0] ||
        tokens[i + 2] > texts_[1])
      user_error("{}: the filter's predictor: has token {} that is not this run's", where, tokens[i]);
    for (const int c : {0, 1}) with_[c][static_cast<size_t>(tokens[i])] = tokens[i + 1 + c];
  }
  fresh_ = false;
}

}  // namespace temper

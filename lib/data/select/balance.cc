#include "data/select/balance.h"

#include <algorithm>
#include <map>

namespace temper {

double balance_score(int64_t correct, int64_t selected, int64_t wanted) {
  if (selected == 0) return 0;
  const auto n = static_cast<double>(correct);
  return std::min(n / static_cast<double>(wanted), 1.0) * n / static_cast<double>(selected);
}

std::vector<JudgedAnswer> selected_answers(const std::vector<JudgedAnswer>& answers, double threshold,
                                           int64_t k) {
  std::vector<JudgedAnswer> out;
  std::map<std::string, size_t> places;
  for (const JudgedAnswer& answer : answers) {
    const auto [place, is_new] = places.try_emplace(answer.text, out.size());
    if (is_new)
      out.push_back(answer);
    else if (answer.score > out[place->second].score)
      out[place->second] = answer;
  }
  std::erase_if(out, [&](const JudgedAnswer& answer) { return !(answer.score > threshold); });
  std::stable_sort(out.begin(), out.end(),
                   [](const JudgedAnswer& a, const JudgedAnswer& b) { return a.score > b.score; });
  if (k > 0) out.resize(std::min(out.size(), static_cast<size_t>(k)));
  return out;
}

double mean_balance(const std::vector<std::vector<JudgedAnswer>>& queries, double threshold, int64_t k,
                    int64_t wanted) {
  double sum = 0;
  for (const auto& answers : queries) {
    const auto selected = selected_answers(answers, threshold, k);
    const auto correct = std::count_if(selected.begin(), selected.end(),
                                       [](const JudgedAnswer& answer) { return answer.correct; });
    sum += balance_score(correct, static_cast<int64_t>(selected.size()), wanted);
  }
  return queries.empty() ? 0 : sum / static_cast<double>(queries.size());
}

}  // namespace temper

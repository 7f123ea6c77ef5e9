#include "env/tools/bm25.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "jinja/text.h"
#include "reward/text/words.h"

namespace temper {

Bm25::Bm25(const std::vector<std::vector<std::string>>& documents, double k1, double b) : k1_(k1), b_(b) {
  double length = 0;
  std::vector<std::string> order;  // of words as they first stand, so that sums are the same everywhere
  for (size_t d = 0; d < documents.size(); ++d) {
    std::map<std::string, double> counts;
    for (const std::string& word : documents[d]) {
      if (words_.try_emplace(word).second) order.push_back(word);
      counts[word] += 1;
    }
    for (const auto& [word, count] : counts) words_[word].documents.emplace_back(d, count);
    relative_length_.push_back(static_cast<double>(documents[d].size()));
    length += relative_length_.back();
  }
  for (double& own : relative_length_) own *= static_cast<double>(documents.size()) / length;
  double sum = 0;
  for (const std::string& word : order) {
    Word& w = words_[word];
    const auto n = static_cast<double>(w.documents.size());
    w.idf = std::log(static_cast<double>(documents.size()) - n + 0.5) - std::log(n + 0.5);
    sum += w.idf;
  }
  const double least = 0.25 * sum / static_cast<double>(order.size());
  for (auto& [word, w] : words_) {
    if (w.idf < 0) w.idf = least;
  }
}

std::vector<std::pair<size_t, double>> Bm25::search(const std::vector<std::string>& query,
                                                    size_t most) const {
  std::map<size_t, double> scores;
  for (const std::string& word : query) {
    const auto found = words_.find(word);
    if (found == words_.end()) continue;
    for (const auto& [d, f] : found->second.documents)
      scores[d] += found->second.idf * f * (k1_ + 1) / (f + k1_ * (1 - b_ + b_ * relative_length_[d]));
  }
  std::vector<std::pair<size_t, double>> out(scores.begin(), scores.end());
  std::stable_sort(out.begin(), out.end(), [](const auto& x, const auto& y) { return x.second > y.second; });
  if (out.size() > most) out.resize(most);
  return out;
}

std::vector<std::string> search_words(const std::string& text) {
  std::vector<std::string> out;
  std::string word;
  const std::string small = python_lower(text);
  for (size_t at = 0; at < small.size();) {
    const char32_t c = jinja::decode_at(small, at);
    if (jinja::is_letter(c) || jinja::is_decimal(c)) {
      jinja::append_utf8(word, c);
    } else if (!word.empty()) {
      out.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

}  // namespace temper

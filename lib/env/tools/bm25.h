// Okapi BM25.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace temper {

// The score of a document for a query, over the query's words w as often as they stand in it:
//   sum of idf(w) f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|)),   f: how often w stands in d
//   idf(w) = ln((N - n + 0.5) / (n + 0.5)), n of the N documents hold w; where that is negative, a quarter of
//   the mean idf over all words, as rank_bm25's BM25Okapi has it.
class Bm25 {
 public:
  Bm25(const std::vector<std::vector<std::string>>& documents, double k1, double b);
  // The best `most` documents that hold a word of the query, with their scores, the best first; equal ones in
  // their order.
  std::vector<std::pair<size_t, double>> search(const std::vector<std::string>& query, size_t most) const;

 private:
  struct Word {
    double idf = 0;
    std::vector<std::pair<size_t, double>> documents;  // with how often it stands there
  };
  double k1_, b_;
  std::vector<double> relative_length_;
  std::unordered_map<std::string, Word> words_;
};

// The words of valid UTF-8: letters and decimal digits in a row, in small letters.
std::vector<std::string> search_words(const std::string& text);

}  // namespace temper

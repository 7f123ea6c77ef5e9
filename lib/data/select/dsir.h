// Data selection by importance resampling (Xie et al., arXiv 2302.03169; code p-lambda/dsir).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace temper {

// How often a text's words (punctuated_words) and pairs of neighbouring words, joined by a space, fall into
// each of `buckets`: SHA-256 as a number modulo the buckets. Added to counts [buckets].
void count_hashed_ngrams(const std::string& text, std::vector<double>& counts);

// log w = sum over buckets of count x (log(p_target + 1e-8) - log(p_raw + 1e-8)) of each raw text, where p
// are the shares of buckets among all n-grams of the target texts and of the raw texts. [raw.size()]
std::vector<double> importance_log_weights(const std::vector<std::string>& raw,
                                           const std::vector<std::string>& target, int64_t buckets);

}  // namespace temper

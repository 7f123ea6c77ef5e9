// dsir: a sample of the records that is as likely under the words of the target files as the target itself
// is: log-weights plus Gumbel noise, of which the largest `count` are kept, in the records' order.
#include "data/select/dsir.h"

#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "data/formats/format.h"
#include "data/select/rules.h"
#include "data/select/text.h"

namespace temper {
namespace {

size_t bucket_of(const std::string& gram, size_t buckets) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(gram.data()), gram.size(), digest);
  size_t out = 0;
  for (const unsigned char byte : digest) out = (out * 256 + byte) % buckets;
  return out;
}

// As shares of their sum.
std::vector<double> shares_of(const std::vector<std::string>& texts, int64_t buckets) {
  std::vector<double> counts(static_cast<size_t>(buckets), 0.0);
  for (const std::string& text : texts) count_hashed_ngrams(text, counts);
  const double sum = std::accumulate(counts.begin(), counts.end(), 0.0);
  for (double& count : counts) count /= std::max(sum, 1.0);
  return counts;
}

std::vector<std::string> texts_of(const std::vector<Record>& records) {
  std::vector<std::string> out;
  for (const Record& record : records) out.push_back(record_text(record));
  return out;
}

struct Dsir : SelectOptions {
  std::vector<std::string> target;
  int64_t count = 1000, buckets = 10000;
  bool noise = true;

  void fields(FieldVisitor& v) override {
    v.field("target", target,
            {.help = "files with texts like those that are wanted", .required = true, .path = true});
    v.field("count", count, {.help = "records that are kept; all where there are no more", .min = 1});
    v.field("buckets", buckets,
            {.help = "that words and pairs of words are hashed into", .min = 1, .max = 1e8});
    v.field("noise", noise,
            {.help = "draw without replacement by the weights; false: the largest weights themselves"});
  }

  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<double> weight = importance_log_weights(texts_of(in), texts_of(read_data(target)), buckets);
    std::vector<size_t> order(in.size());
    std::iota(order.begin(), order.end(), size_t{0});
    if (noise) {
      for (size_t i = 0; i < in.size(); ++i) {
        RandomStream random(context.seed, "select dsir", static_cast<uint64_t>(context.round), i);
        weight[i] += -std::log(-std::log(random.uniform()));
      }
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weight[a] > weight[b]; });
    order.resize(std::min(order.size(), static_cast<size_t>(count)));
    std::sort(order.begin(), order.end());
    std::vector<Record> out;
    for (const size_t i : order) out.push_back(std::move(in[i]));
    context.figures.emplace_back("records", static_cast<double>(in.size()));
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }
};

}  // namespace

void count_hashed_ngrams(const std::string& text, std::vector<double>& counts) {
  const std::vector<std::string> words = punctuated_words(text);
  for (size_t i = 0; i < words.size(); ++i) {
    counts[bucket_of(words[i], counts.size())] += 1;
    if (i + 1 < words.size()) counts[bucket_of(words[i] + " " + words[i + 1], counts.size())] += 1;
  }
}

std::vector<double> importance_log_weights(const std::vector<std::string>& raw,
                                           const std::vector<std::string>& target, int64_t buckets) {
  constexpr double kSmallest = 1e-8;
  const std::vector<double> p_target = shares_of(target, buckets), p_raw = shares_of(raw, buckets);
  std::vector<double> log_ratio;
  for (size_t b = 0; b < p_raw.size(); ++b)
    log_ratio.push_back(std::log(p_target[b] + kSmallest) - std::log(p_raw[b] + kSmallest));
  std::vector<double> out, counts;
  for (const std::string& text : raw) {
    counts.assign(p_raw.size(), 0.0);
    count_hashed_ngrams(text, counts);
    double sum = 0;
    for (size_t b = 0; b < counts.size(); ++b) sum += counts[b] * log_ratio[b];
    out.push_back(sum);
  }
  return out;
}

std::unique_ptr<SelectOptions> select_dsir() {
  return std::make_unique<Dsir>();
}

}  // namespace temper

#include "rollout/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "test.h"

using namespace temper;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// The formulas word for word, in fp64, by sorting: the log-prob of every id, -inf where it is ruled out.
std::vector<double> reference_logp(std::vector<double> x, const SamplingOptions& o) {
  const auto softmax = [&] {
    const double max = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const double v : x) sum += std::exp(v - max);
    std::vector<double> p;
    for (const double v : x) p.push_back(std::exp(v - max) / sum);
    return p;
  };
  const auto best = [&] { return std::max_element(x.begin(), x.end()) - x.begin(); };
  // Rules out what comes after the first ids, in order of key, that reach the mass.
  const auto keep_first = [&](const std::vector<double>& key, double mass) {
    const auto p = softmax();
    std::vector<size_t> order(x.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key[a] < key[b]; });
    double sum = 0;
    for (const size_t i : order) {
      if (sum >= mass) x[i] = -kInf;
      sum += p[i];
    }
  };
  const auto keep_above = [&](double least) {
    const auto p = softmax();
    const auto top = best();
    for (size_t i = 0; i < x.size(); ++i) {
      if (p[i] < least && static_cast<int64_t>(i) != top) x[i] = -kInf;
    }
  };
  const auto entropy = [&] {
    double h = 0;
    for (const double p : softmax()) h -= p > 0 ? p * std::log(p) : 0;
    return h;
  };
  for (double& v : x) v /= o.temperature;
  if (o.top_k > 0 && o.top_k < static_cast<int64_t>(x.size())) {
    auto sorted = x;
    std::sort(sorted.rbegin(), sorted.rend());
    for (double& v : x) v = v < sorted[o.top_k - 1] ? -kInf : v;
  }
  if (o.top_p < 1) {
    std::vector<double> key;
    for (const double v : x) key.push_back(-v);
    keep_first(key, o.top_p);
  }
  if (o.min_p > 0) keep_above(o.min_p * softmax()[best()]);
  if (o.typical_p < 1) {
    const double h = entropy();
    std::vector<double> key;
    for (const double p : softmax()) key.push_back(p > 0 ? std::abs(-std::log(p) - h) : kInf);
    keep_first(key, o.typical_p);
  }
  if (o.epsilon_cutoff > 0) keep_above(o.epsilon_cutoff);
  if (o.eta_cutoff > 0) keep_above(std::min(o.eta_cutoff, std::sqrt(o.eta_cutoff) * std::exp(-entropy())));
  auto p = softmax();
  for (double& v : p) v = std::log(v);
  return p;
}

SampledToken sample(std::vector<float> logits, const SamplingOptions& o, double uniform,
                    const SeenTokens& seen = {}, const std::vector<int64_t>& banned = {}) {
  return sample_token(logits.data(), static_cast<int64_t>(logits.size()), o, seen, banned, uniform);
}

std::vector<float> random_logits(int64_t n, double scale, uint64_t seed) {
  RandomStream random(seed, "test");
  std::vector<float> out(n);
  for (float& v : out) v = static_cast<float>(random.normal() * scale);
  return out;
}

SamplingOptions sampling_from(const Json& json) {
  SamplingOptions o;
  read_fields(o, json, "options", ".");
  return o;
}

// Draws in the middle of each kept id's share of [0, 1): every one must give that id, with that log-prob.
void check_distribution(const std::vector<float>& logits, const SamplingOptions& o,
                        const std::vector<int64_t>& kept, const std::vector<double>& logp) {
  double before = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    const double p = std::exp(logp[i]);
    const auto token = sample(logits, o, before + p / 2);
    if (p > 1e-5) {  // the file's log-probs have six digits
      CHECK(token.id == kept[i]);
      CHECK(token.logp == doctest::Approx(logp[i]).epsilon(2e-5));
    }
    before += p;
  }
  CHECK(before == doctest::Approx(1).epsilon(1e-4));
  CHECK(sample(logits, o, 0).id == kept.front());
}

}  // namespace

TEST_CASE("truncations keep the tokens that transformers keeps") {
  const Json golden = read_json_file(test_file("rollout/golden/sampling.json"));
  REQUIRE(golden["truncation"].size() > 50);
  for (const Json& entry : golden["truncation"]) {
    const std::string name = entry["options"].dump();
    CAPTURE(name);
    check_distribution(entry["logits"].get<std::vector<float>>(), sampling_from(entry["options"]),
                       entry["kept"].get<std::vector<int64_t>>(), entry["logp"].get<std::vector<double>>());
  }
}

TEST_CASE("repetition penalty is transformers'") {
  const Json golden = read_json_file(test_file("rollout/golden/sampling.json"))["repetition"];
  SamplingOptions o;
  o.repetition_penalty = golden["penalty"];
  SeenTokens seen;
  for (const int64_t id : golden["seen"]) seen[id] = 0;  // all of the prompt
  const auto logits = golden["logits"].get<std::vector<float>>();
  const auto logp = golden["logp"].get<std::vector<double>>();
  double before = 0;
  for (size_t i = 0; i < logp.size(); ++i) {
    const auto token = sample(logits, o, before + std::exp(logp[i]) / 2, seen);
    CHECK(token.id == static_cast<int64_t>(i));
    CHECK(token.logp == doctest::Approx(logp[i]).epsilon(1e-5));
    before += std::exp(logp[i]);
  }
}

TEST_CASE("presence and frequency penalties count the output only; logp_full sees none of it") {
  SamplingOptions o;
  o.presence_penalty = 0.5, o.frequency_penalty = 0.25, o.temperature = 2;
  const std::vector<float> logits = {1, 1, 1, 1};
  const auto token = sample(logits, o, 0.999, {{0, 3}, {1, 1}, {2, 0}});  // 2 stands in the prompt alone
  CHECK(token.id == 3);
  const double sum = std::exp(-1.25 / 2) + std::exp(-0.75 / 2) + 2;
  CHECK(token.logp == doctest::Approx(-std::log(sum)).epsilon(1e-6));
  CHECK(token.logp_full == doctest::Approx(-std::log(4.0)).epsilon(1e-6));
}

TEST_CASE("the fast paths agree with the plain formulas on a whole vocabulary") {
  std::vector<SamplingOptions> all(12);
  all[1].temperature = 0.7;
  all[2].top_k = 50;
  all[3].top_k = 5000;
  all[4].top_p = 0.9;
  all[5].top_p = 0.9, all[5].temperature = 0.1;
  all[6].min_p = 0.1;
  all[7].epsilon_cutoff = 3e-4;
  all[8].eta_cutoff = 3e-4;
  all[9].typical_p = 0.9;
  all[10].top_k = 20, all[10].top_p = 0.8, all[10].min_p = 0.05, all[10].temperature = 1.5;
  all[11].temperature = 30;
  for (const int64_t vocab : {1, 7, 1000, 49152}) {
    for (size_t k = 0; k < all.size(); ++k) {
      CAPTURE(vocab);
      CAPTURE(k);
      const auto logits = random_logits(vocab, 2.5, 100 + k);
      const auto logp = reference_logp({logits.begin(), logits.end()}, all[k]);
      auto plain = all[k];
      plain = SamplingOptions();
      plain.temperature = all[k].temperature;
      const auto full = reference_logp({logits.begin(), logits.end()}, plain);
      RandomStream random(k, "uniform");
      for (int draw = 0; draw < 20; ++draw) {
        const double uniform = random.uniform();
        double sum = 0;
        int64_t expected = 0;
        for (; expected < vocab; ++expected) {
          sum += std::exp(logp[expected]);
          if (sum > uniform) break;
        }
        const auto token = sample(logits, all[k], uniform);
        if (std::abs(sum - uniform) > 1e-5 && std::abs(sum - std::exp(logp[expected]) - uniform) > 1e-5) {
          CHECK(token.id == expected);  // not within rounding of a border
        }
        CHECK(std::isfinite(logp[token.id]));
        CHECK(token.logp == doctest::Approx(logp[token.id]).epsilon(1e-5));
        CHECK(token.logp_full == doctest::Approx(full[token.id]).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("draws follow the distribution (chi-square)") {
  std::vector<SamplingOptions> all(4);
  all[1].temperature = 0.5;
  all[2].top_p = 0.8;
  all[3].top_k = 10, all[3].presence_penalty = 1;
  for (size_t k = 0; k < all.size(); ++k) {
    const int64_t vocab = 40, draws = 40000;
    auto logits = random_logits(vocab, 1, 5 + k);
    SeenTokens seen;
    if (all[k].penalises()) seen = {{1, 1}, {7, 2}};
    auto shifted = logits;
    for (const auto& [id, count] : seen) shifted[id] -= 1;
    const auto logp = reference_logp({shifted.begin(), shifted.end()}, all[k]);
    std::vector<int64_t> count(vocab);
    for (int64_t i = 0; i < draws; ++i) {
      RandomStream random(11, "chi", k, i);  // as the engine does it: the first draw of many streams
      ++count[sample(logits, all[k], random.uniform(), seen).id];
    }
    double chi = 0;
    int64_t freedom = -1;
    for (int64_t id = 0; id < vocab; ++id) {
      const double expected = std::exp(logp[id]) * draws;
      if (expected == 0) CHECK(count[id] == 0);
      if (expected == 0) continue;
      chi += (count[id] - expected) * (count[id] - expected) / expected;
      ++freedom;
    }
    CAPTURE(k);
    CHECK(chi < freedom + 4 * std::sqrt(2.0 * freedom));  // four standard deviations
  }
}

TEST_CASE("no token of probability zero, at either end of the unit interval") {
  SamplingOptions plain, narrow;
  narrow.top_p = 0.99;
  std::vector<float> logits(5000, -kInf);
  logits[1500] = 0.5f, logits[3000] = 0.25f, logits[3001] = -200;
  const double almost_one = std::nextafter(1.0, 0.0);
  for (const SamplingOptions& o : {plain, narrow}) {
    CHECK(sample(logits, o, 0).id == 1500);
    CHECK(sample(logits, o, almost_one).id == 3000);
    CHECK(sample(logits, o, 0.5, {}, {1500}).id == 3000);  // banned
    CHECK(sample(logits, o, 0.5, {}, {1500}).logp == doctest::Approx(0).epsilon(1e-6));
    CHECK(sample(logits, o, 0.5, {}, {1500}).logp_full == doctest::Approx(-0.8259).epsilon(1e-3));
  }
}

TEST_CASE("greedy takes the largest logit, the lowest id among equals") {
  SamplingOptions o;
  o.temperature = 0;
  auto logits = random_logits(3000, 1, 3);
  logits[2100] = logits[77] = logits[2999] = 50;
  const auto token = sample(logits, o, 0.7);
  CHECK(token.id == 77);
  CHECK(token.logp == token.logp_full);  // nothing was drawn: what the model says
  CHECK(token.logp_full == doctest::Approx(-std::log(3.0)).epsilon(1e-5));
  CHECK(sample(logits, o, 0.7, {}, {77}).id == 2100);
}

TEST_CASE("a diverged model is the user's to know") {
  SamplingOptions o;
  for (const float bad : {std::nanf(""), kInf}) {
    for (const int64_t at : {0, 999, 1023, 1024, 1030}) {
      auto logits = random_logits(1031, 1, 1);
      logits[at] = bad;
      CHECK_THROWS_WITH_AS(sample(logits, o, 0.5), doctest::Contains("diverged"), UserError);
    }
  }
  CHECK_THROWS_AS(sample(std::vector<float>(10, -kInf), o, 0.5), UserError);
  CHECK_THROWS_AS(sample({1, 2}, o, 0.5, {}, {0, 1}), UserError);
}

TEST_CASE("options are checked") {
  const auto problem = [](const char* json) -> std::string {
    try {
      sampling_from(parse_json(json, "test"));
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(problem(R"({"temperature": 0, "top_k": 5, "stop": ["a"]})") == "");
  CHECK(problem(R"({"top_p": 0})").find("top_p") != std::string::npos);
  CHECK(problem(R"({"temperature": -1})").find("temperature") != std::string::npos);
  CHECK(problem(R"({"temperature": 1e-9})").find("use 0") != std::string::npos);
  CHECK(problem(R"({"min_new_tokens": 9, "max_new_tokens": 3})").find("max_new_tokens") != std::string::npos);
  CHECK(problem(R"({"stop": [""]})").find("stop") != std::string::npos);
  CHECK(problem(R"({"top_pp": 0.5})").find("top_p") != std::string::npos);
}

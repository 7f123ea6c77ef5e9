#include "rollout/constrained.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "grammar/regex.h"
#include "rollout/engine.h"
#include "rollout/letters.h"
#include "rollout/speculate/speculation.h"
#include "rollout/tiny_model.h"
#include "tensor/packed.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

constexpr int64_t kVocab = 40;

std::shared_ptr<const Constraint> letters_constraint(const std::string& pattern) {
  const Letters letters;
  return std::make_shared<Constraint>(regex_automaton(pattern, "regex"),
                                      std::make_shared<const TokenTexts>(letters, kVocab),
                                      std::vector<int64_t>{0}, "regex");
}

std::vector<float> some_logits(uint64_t seed, double scale) {
  RandomStream random(seed, "logits");
  std::vector<float> out(kVocab);
  for (float& x : out) x = static_cast<float>(scale * random.normal());
  return out;
}

// The chance of each allowed token, and the mass of all of them, by the formula in fp64.
struct Law {
  std::map<int64_t, double> chance;
  double mass = 0;
};

Law law_of(const std::vector<float>& logits, double temperature, const ConstraintState& state,
           const std::vector<int64_t>& banned) {
  Law out;
  double total = 0;
  for (int64_t id = 0; id < kVocab; ++id) {
    if (std::count(banned.begin(), banned.end(), id) > 0) continue;
    const double weight = std::exp(logits[static_cast<size_t>(id)] / temperature);
    total += weight;
    if (state.allows(id)) out.chance[id] = weight, out.mass += weight;
  }
  for (auto& [id, chance] : out.chance) chance /= out.mass;
  out.mass /= total;
  return out;
}

struct Sums {
  double count = 0, weight = 0, squares = 0;
  void add(double w) { ++count, weight += w, squares += w * w; }
  double mean() const { return weight / count; }
  double error() const { return std::sqrt(std::max(squares / count - mean() * mean(), 0.0) / count); }
};

}  // namespace

TEST_CASE("constrained: draws follow the law, and weights estimate the allowed mass whatever is drawn") {
  struct Case {
    const char* pattern;
    double scale, temperature;
    std::vector<int64_t> banned;
  };
  const Case cases[] = {
      {"[a-m]+", 1, 1, {}},      // half of the mass
      {"[c-f]", 2, 0.7, {4}},    // little, and a ban
      {"q|z", 0.5, 1, {}},       // so little that most draws come to the look-up
      {"[b-z]?", 1, 1.3, {}},    // the end, too
      {"[a-z ?]*", 1.5, 1, {}},  // nearly everything
      {"k", 1, 1, {}},           // one
  };
  for (const Case& c : cases) {
    CAPTURE(c.pattern);
    const ConstraintState state(letters_constraint(c.pattern));
    const std::vector<float> logits = some_logits(7, c.scale);
    const Law law = law_of(logits, c.temperature, state, c.banned);
    SamplingOptions options;
    options.temperature = c.temperature;
    for (const bool exact : {false, true}) {
      CAPTURE(exact);
      constexpr int kDraws = 30000;
      RandomStream random(3, c.pattern, exact);
      std::map<int64_t, Sums> drawn;
      Sums all;
      for (int i = 0; i < kDraws; ++i) {
        std::vector<float> row = logits;
        const SampledToken token =
            sample_constrained(row.data(), kVocab, options, {}, c.banned, state, random, exact);
        REQUIRE(law.chance.count(token.id) == 1);
        drawn[token.id].add(std::exp(token.log_weight));
        all.add(std::exp(token.log_weight));
        CHECK(token.log_weight <= 0);
        if (exact) {
          CHECK(token.logp == doctest::Approx(std::log(law.chance.at(token.id))).epsilon(1e-4));
          CHECK(std::exp(token.log_weight) == doctest::Approx(law.mass).epsilon(1e-5));
        }
      }
      double chi = 0;
      for (const auto& [id, chance] : law.chance) {
        const double expected = chance * kDraws;
        chi += (drawn[id].count - expected) * (drawn[id].count - expected) / expected;
      }
      const double freedom = static_cast<double>(law.chance.size()) - 1;
      CHECK(chi < freedom + 5 * std::sqrt(2 * freedom) + 1e-9);
      CHECK(std::abs(all.mean() - law.mass) < 4.5 * all.error() + 1e-5);
      for (const auto& [id, sums] : drawn) {
        if (sums.count > 500) CHECK(std::abs(sums.mean() - law.mass) < 4.5 * sums.error() + 1e-5);
      }
    }
  }
}

TEST_CASE("constrained: truncations see what the constraint leaves; penalties come before it") {
  const ConstraintState state(letters_constraint("[c-p]+"));
  const std::vector<float> logits = some_logits(9, 1);
  SamplingOptions options;
  options.top_k = 3;
  options.repetition_penalty = 1.8;
  const SeenTokens seen = {{4, 1}, {8, 0}};
  // The three largest of the allowed ones, with the penalty.
  std::vector<std::pair<float, int64_t>> left;
  for (int64_t id = 0; id < kVocab; ++id) {
    float x = logits[static_cast<size_t>(id)];
    if (seen.count(id) > 0) x = static_cast<float>(x > 0 ? x / 1.8 : x * 1.8);
    if (state.allows(id)) left.emplace_back(x, id);
  }
  std::sort(left.rbegin(), left.rend());
  left.resize(3);
  double total = 0;
  for (const auto& [x, id] : left) total += std::exp(x);
  RandomStream random(1, "draws");
  std::map<int64_t, int> drawn;
  for (int i = 0; i < 3000; ++i) {
    std::vector<float> row = logits;
    const SampledToken token =
        sample_constrained(row.data(), kVocab, options, seen, {}, state, random, false);
    ++drawn[token.id];
    const auto at =
        std::find_if(left.begin(), left.end(), [&](const auto& l) { return l.second == token.id; });
    REQUIRE(at != left.end());
    CHECK(token.logp == doctest::Approx(at->first - std::log(total)).epsilon(1e-4));
  }
  CHECK(drawn.size() == 3);
}

TEST_CASE("constrained: greedy takes the largest logit that is allowed") {
  for (const char* pattern : {"[a-m]", "z", "[x-z]?", "q"}) {
    const ConstraintState state(letters_constraint(pattern));
    for (uint64_t seed = 0; seed < 20; ++seed) {
      std::vector<float> logits = some_logits(seed, 2);
      int64_t best = -1;
      for (int64_t id = 0; id < kVocab; ++id) {
        if (state.allows(id) &&
            (best < 0 || logits[static_cast<size_t>(id)] > logits[static_cast<size_t>(best)]))
          best = id;
      }
      SamplingOptions greedy;
      greedy.temperature = 0;
      RandomStream random(1, "none");
      const Law all = law_of(logits, 1, ConstraintState(letters_constraint("[a-z ?]*")), {});
      const SampledToken token =
          sample_constrained(logits.data(), kVocab, greedy, {}, {}, state, random, false);
      CHECK(token.id == best);
      CHECK(token.logp == token.logp_full);
      CHECK(token.logp_full == doctest::Approx(std::log(all.chance.at(best) * all.mass)).epsilon(1e-4));
    }
  }
}

namespace {

// log p of each id behind the prompt, in one pass of the whole.
double text_logp(Model& model, const std::vector<int64_t>& prompt, const std::vector<int64_t>& ids) {
  at::NoGradGuard guard;
  std::vector<int64_t> whole = prompt;
  whole.insert(whole.end(), ids.begin(), ids.end());
  Packer packer;
  packer.add_segment(whole);
  const at::Tensor logp = at::log_softmax(model.logits(model.hidden(packer.tokens_on(at::kCPU))), -1);
  double sum = 0;
  for (size_t i = 0; i < ids.size(); ++i)
    sum += logp[static_cast<int64_t>(prompt.size() + i) - 1][ids[i]].item<double>();
  return sum;
}

EngineOptions engine_options() {
  EngineOptions options;
  options.end_ids = {0};
  options.max_batch = 50;
  return options;
}

}  // namespace

TEST_CASE("constrained: weighted completions are the model's own distribution over the fitting texts") {
  const auto model = tiny_model("llama");
  const Letters letters;
  SamplingOptions sampling;
  sampling.regex = "[a-f](g|[h-k]l)?|m{2}";
  sampling.max_new_tokens = 8;
  sampling.temperature = 1;
  constexpr int64_t kSamples = 4000;
  const std::vector<GenerateRequest> requests = {{{3, 9, 14}, kSamples, 0}};
  for (const bool exact : {false, true}) {
    CAPTURE(exact);
    EngineOptions options = engine_options();
    options.exact_weights = exact;
    const auto completions = generate(*model, letters, requests, sampling, options)[0];
    std::map<std::vector<int64_t>, Sums> texts;
    const Automaton automaton = regex_automaton(sampling.regex, "regex");
    for (const Completion& c : completions) {
      CHECK(c.finish == FinishReason::kEnd);
      CHECK(automaton.matches(c.text));
      REQUIRE(c.log_weight);
      texts[c.ids].add(std::exp(*c.log_weight));
    }
    CHECK(texts.size() > 10);
    for (const auto& [ids, sums] : texts) {
      // Of all draws: the weight where it is this text, 0 elsewhere.
      const double mean = sums.weight / kSamples, p = std::exp(text_logp(*model, requests[0].prompt, ids));
      const double error = std::sqrt((sums.squares / kSamples - mean * mean) / kSamples);
      if (sums.count > 30) CHECK(std::abs(mean - p) < 4.5 * error + 1e-9);
      if (exact) CHECK(sums.squares / sums.count == doctest::Approx(sums.mean() * sums.mean()).epsilon(1e-4));
    }
    if (!exact) continue;
    for (const Completion& c : std::vector(completions.begin(), completions.begin() + 20)) {
      double logp = 0, full = 0;
      for (const float x : c.logp) logp += x;
      for (const float x : c.logp_full) full += x;
      CHECK(full - logp ==
            doctest::Approx(*c.log_weight).epsilon(1e-3));  // p = (p / mass) mass, token by token
      CHECK(full == doctest::Approx(text_logp(*model, requests[0].prompt, c.ids)).epsilon(1e-3));
      CHECK(&c.logp_of_draw() == &c.logp);
    }
  }
}

TEST_CASE("constrained: the batch changes nothing, and speculation leaves the law") {
  const auto model = tiny_model("llama");
  const Letters letters;
  SamplingOptions sampling;
  sampling.regex = "([a-c]{2}[d-z ]){3,6}";
  sampling.max_new_tokens = 30;
  std::vector<GenerateRequest> requests;
  for (int64_t i = 0; i < 5; ++i) requests.push_back({{1 + i, 7, 2 * i + 3}, 4, static_cast<uint64_t>(i)});
  EngineOptions options = engine_options(), alone = engine_options();
  alone.max_batch = 1;
  const auto a = generate(*model, letters, requests, sampling, options);
  const auto b = generate(*model, letters, requests, sampling, alone);
  const Automaton automaton = regex_automaton(sampling.regex, "regex");
  for (size_t r = 0; r < a.size(); ++r) {
    for (size_t i = 0; i < a[r].size(); ++i) {
      CHECK(a[r][i].ids == b[r][i].ids);
      CHECK(automaton.matches(a[r][i].text));
    }
  }

  const auto lookup = read_speculation("lookup", "test");
  EngineOptions speculating = engine_options();
  speculating.speculation = lookup.get();
  const auto speculated = generate(*model, letters, requests, sampling, speculating);
  for (const Completion& c : speculated[2]) CHECK(automaton.matches(c.text));
  sampling.temperature = 0;
  const auto plain = generate(*model, letters, requests, sampling, options);
  const auto drafted = generate(*model, letters, requests, sampling, speculating);
  for (size_t r = 0; r < plain.size(); ++r) {
    CHECK(plain[r][0].ids == drafted[r][0].ids);
    CHECK_FALSE(plain[r][0].log_weight);
  }
}

TEST_CASE("constrained: texts of records' own constraints are those of each constraint alone") {
  const auto model = tiny_model("llama");
  const Letters letters;
  const char* const patterns[] = {"([a-c]{2}[d-z ]){3,6}", "[x-z]+", "([a-c]{2}[d-z ]){3,6}", "no|yes"};
  SamplingOptions own, all;
  own.regex_column = "pattern";
  own.max_new_tokens = all.max_new_tokens = 20;
  std::vector<GenerateRequest> requests, plain;
  for (int64_t i = 0; i < 4; ++i) {
    plain.push_back({{1 + i, 7, 2 * i + 3}, 3, static_cast<uint64_t>(i)});
    requests.push_back(plain.back());
    requests.back().constraint = record_constraint(own, {{"pattern", patterns[i]}}, "file:1");
  }
  const auto lookup = read_speculation("lookup", "test");
  for (const bool speculates : {false, true}) {
    CAPTURE(speculates);
    EngineOptions options = engine_options();
    if (speculates) options.speculation = lookup.get();
    const auto mixed = generate(*model, letters, requests, own, options);
    for (size_t r = 0; r < mixed.size(); ++r) {
      all.regex = patterns[r];
      const auto alone = generate(*model, letters, plain, all, options)[r];
      const Automaton automaton = regex_automaton(patterns[r], "regex");
      for (size_t i = 0; i < alone.size(); ++i) {
        CHECK(mixed[r][i].ids == alone[i].ids);
        CHECK(*mixed[r][i].log_weight == doctest::Approx(*alone[i].log_weight).epsilon(1e-4));
        if (mixed[r][i].finish == FinishReason::kEnd) CHECK(automaton.matches(mixed[r][i].text));
      }
    }
  }
  own.regex_column = "", own.json_schema_column = "schema";
  for (const Json& schema : {Json{{"enum", {"ab", "cd"}}}, Json(R"({"enum": ["ab", "cd"]})")}) {
    const auto said = record_constraint(own, {{"schema", schema}}, "file:1");
    CHECK(said->automaton().matches("\"ab\""));
    CHECK_FALSE(said->automaton().matches("\"ac\""));
  }
  CHECK(record_constraint(all, {{"pattern", 1}}, "file:1") == nullptr);
}

TEST_CASE("constrained: a record without a constraint, or with none that can be read, is told of") {
  const auto said = [](const char* column, bool regex, const Json& record) {
    SamplingOptions options;
    (regex ? options.regex_column : options.json_schema_column) = column;
    return problem([&] { record_constraint(options, record, "some.jsonl:3"); });
  };
  const char* absent = "some.jsonl:3: no column \"c\", which regex_column names";
  CHECK(said("c", true, {{"d", "a"}}).starts_with(absent));
  CHECK(said("c", true, {{"c", nullptr}}).starts_with(absent));
  CHECK(said("c", true, {{"c", 3}}) == "some.jsonl:3: c: expected a regular expression, found 3");
  CHECK(said("c", true, {{"c", ""}}) == "some.jsonl:3: c: expected a regular expression, found \"\"");
  CHECK(said("c", true, {{"c", "a("}})
            .starts_with("some.jsonl:3: c: the regular expression \"a(\", at byte 2"));
  CHECK(said("c", false, {{"c", "{"}}).starts_with("some.jsonl:3: c:"));
  CHECK(said("c", false, {{"c", Json::array()}}).starts_with("some.jsonl:3: c: /: expected a schema"));
  CHECK(said("c", false, {{"c", {{"not", {}}}}}).starts_with("some.jsonl:3: c: /: \"not\" is not offered"));
}

TEST_CASE("constrained: what cannot be is refused in one line") {
  const auto model = tiny_model("llama");
  const Letters letters;
  const std::vector<GenerateRequest> requests = {{{1, 2}, 1, 0}};
  const auto refused = [&](const std::function<void(SamplingOptions&, EngineOptions&)>& change) {
    SamplingOptions sampling;
    sampling.regex = "ab";
    sampling.max_new_tokens = 5;
    EngineOptions options = engine_options();
    change(sampling, options);
    try {
      generate(*model, letters, requests, sampling, options);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const auto has = [](const std::string& text, const char* what) {
    return text.find(what) != std::string::npos;
  };
  CHECK(refused([](auto&, auto&) {}).empty());
  CHECK(has(refused([](auto& s, auto&) { s.regex = "a("; }),
            "regex: the regular expression \"a(\", at byte 2"));
  CHECK(has(refused([](auto& s, auto&) { s.json_schema = Json::object(); }), "one of the two"));
  CHECK(has(refused([](auto& s, auto&) { s.regex_column = "c"; }), "regex: goes without a column"));
  CHECK(has(refused([](auto& s, auto&) { s.regex = "", s.regex_column = s.json_schema_column = "c"; }),
            "regex_column: goes without json_schema_column"));
  CHECK(has(refused([](auto& s, auto&) { s.regex = "", s.json_schema_column = "c"; }),
            "here no record says what a text must be"));
  CHECK(has(refused([](auto& s, auto&) { s.min_new_tokens = 1; }), "regex: goes without min_new_tokens"));
  CHECK(has(refused([](auto& s, auto&) { s.mirostat_tau = 3; }), "regex: goes without mirostat_tau"));
  CHECK(has(refused([](auto&, auto& e) { e.step_tokens = 2; }), "goes with no partial rollouts"));
  CHECK(has(refused([](auto&, auto& e) { e.end_ids.clear(); }), "a constraint needs an end token"));
  CHECK(has(refused([](auto& s, auto&) { s.regex = "aB"; }),
            "regex: no token that may come can go on behind \"a\""));
  CHECK(has(refused([](auto& s, auto&) { s.ban = {"b"}; }), "every token is ruled out"));
  CHECK(has(refused([](auto& s, auto&) { s.regex = "", s.json_schema = "/no/such/schema.json"; }),
            "/no/such/schema.json"));
  CHECK(has(refused([](auto& s, auto&) {
              s.regex = "", s.json_schema = Json{{"not", 1}};
            }),
            "json_schema: /: \"not\" is not offered"));
}

#include "objective/preference/preference.h"

#include "base/error.h"
#include "cases.h"
#include "objective/math.h"

namespace temper::objective {
namespace {

std::unique_ptr<PreferenceAlgorithm> preference_of(const std::string& name,
                                                   const Json& overrides = Json::object()) {
  auto algorithm = preference_registry().find(name)->make();
  read_fields(*algorithm, overrides, "test", ".");
  return algorithm;
}

// A step of `units` pairs (unit 2), labelled responses (1) or lists of four. Some responses have one token,
// some none.
PreferenceBatch random_preferences(uint64_t seed, int64_t unit, int64_t units = 8,
                                   at::ScalarType type = at::kDouble) {
  RandomStream random(seed, "preferences");
  const int64_t sequences = unit * units;
  std::vector<int64_t> sequence;
  std::vector<double> logp, ref, other, squares, label, mismatch;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t length = s == 3 ? 0 : s == 6 ? 1 : static_cast<int64_t>(1 + random.below(6));
    for (int64_t t = 0; t < length; ++t) {
      sequence.push_back(s);
      logp.push_back(-std::abs(random.normal()) - 0.1);
      ref.push_back(logp.back() + 0.4 * random.normal());
      other.push_back(logp.back() + 0.4 * random.normal());
      squares.push_back(-0.5 * std::abs(random.normal()));
    }
    label.push_back(static_cast<double>(random.below(2)));
    mismatch.push_back(0.5 + random.normal());
  }
  PreferenceBatch batch;
  batch.sequences = sequences;
  batch.sequence = at::tensor(sequence, at::kLong);
  batch.logp = at::tensor(logp, type);
  batch.logp_ref = at::tensor(ref, type);
  batch.logp_other = at::tensor(other, type);
  batch.log_sum_squares = at::tensor(squares, type);
  batch.unit = unit;
  if (unit == 1) {
    batch.label = at::tensor(label, type).ne(0);
    batch.mismatch = at::tensor(mismatch, type);
  }
  batch.index = at::arange(units);
  batch.include = at::ones({units}, at::TensorOptions().dtype(type));
  batch.include[1] = 0;
  return batch;
}

// The given units of a step in that order; tokens: where its tokens lie in the step.
PreferenceBatch take_units(const PreferenceBatch& step, const std::vector<int64_t>& units,
                           at::Tensor* tokens) {
  std::vector<at::Tensor> places, sequence;
  std::vector<int64_t> rows;
  for (int64_t unit : units) {
    for (int64_t s = step.unit * unit; s < step.unit * (unit + 1); ++s) {
      places.push_back(step.sequence.eq(s).nonzero().flatten());
      sequence.push_back(at::full({places.back().size(0)}, static_cast<int64_t>(rows.size()), at::kLong));
      rows.push_back(s);
    }
  }
  *tokens = at::cat(places);
  const at::Tensor row = at::tensor(rows, at::kLong), unit = at::tensor(units, at::kLong);
  PreferenceBatch out;
  out.sequences = static_cast<int64_t>(rows.size());
  out.unit = step.unit;
  out.sequence = at::cat(sequence);
  out.logp = step.logp.index_select(0, *tokens);
  out.logp_ref = step.logp_ref.index_select(0, *tokens);
  out.logp_other = step.logp_other.index_select(0, *tokens);
  out.log_sum_squares = step.log_sum_squares.index_select(0, *tokens);
  if (step.label.defined()) out.label = step.label.index_select(0, row);
  if (step.mismatch.defined()) out.mismatch = step.mismatch.index_select(0, row);
  out.index = step.index.index_select(0, unit);
  out.include = step.include.index_select(0, unit);
  return out;
}

StepResult run_preferences(const PreferenceAlgorithm& algorithm, const PreferenceBatch& step,
                           const std::vector<std::vector<int64_t>>& parts) {
  PreferenceObjective objective(algorithm);
  objective.prepare(step);
  const PreferenceTotals totals = objective.totals(step);
  StepResult out;
  out.gradient = at::zeros_like(step.logp);
  for (const auto& units : parts) {
    at::Tensor tokens;
    PreferenceBatch batch = take_units(step, units, &tokens);
    batch.logp = batch.logp.detach().requires_grad_();
    const auto result = objective(batch, totals);
    out.loss += result.loss.item<double>();
    const at::Tensor gradient = torch::autograd::grad({result.loss}, {batch.logp}, {}, {}, false, true)[0];
    if (gradient.defined()) out.gradient.index_add_(0, tokens, gradient);
    for (const auto& [key, value] : result.metrics) out.metrics[key] += value.item<double>();
  }
  return out;
}

std::vector<int64_t> all_units(int64_t units) {
  std::vector<int64_t> out(units);
  std::iota(out.begin(), out.end(), 0);
  return out;
}

std::vector<std::vector<int64_t>> cut(int64_t units, uint64_t seed) {
  RandomStream random(seed, "cut");
  std::vector<std::vector<int64_t>> parts(1);
  for (int64_t unit : random.permutation(units)) {
    if (!parts.back().empty() && random.uniform() < 0.4) parts.emplace_back();
    parts.back().push_back(unit);
  }
  return parts;
}

int64_t unit_of(const std::string& name) {
  const PreferenceNeeds needs = preference_of(name)->needs();
  if (needs.list) return 4;
  return needs.label ? 1 : 2;
}

}  // namespace

TEST_CASE("preference objectives: values and gradients of TRL") {
  check_golden_file("preference.json");
}

TEST_CASE("lists and two policies: values and gradients of the authors' forms") {
  check_golden_file("lists.json");
}

TEST_CASE("every preference objective: any split and any order give the same loss, gradient and metrics") {
  for (const std::string& name : preference_registry().names()) {
    const int64_t unit = unit_of(name);
    const bool paired = unit == 2;
    std::vector<Json> variants = {Json::object()};
    if (name != "sami") variants.push_back({{"sft_weight", 0.3}});
    if (paired) variants.push_back({{"ld_alpha", 0.4}, {"also", {{{"name", "apo_zero"}, {"weight", 0.5}}}}});
    if (paired && name.rfind("aot", 0) != 0) variants.push_back({{"wpo", true}});
    if (name == "bco_pair") variants.push_back({{"shift", "step"}});
    for (const Json& variant : variants) {
      for (uint64_t seed = 0; seed < 4; ++seed) {
        CAPTURE(name + variant.dump() + std::to_string(seed));
        const auto algorithm = preference_of(name, variant);
        const PreferenceBatch step = random_preferences(seed, unit);
        const StepResult whole = run_preferences(*algorithm, step, {all_units(8)});
        const StepResult parts = run_preferences(*algorithm, step, cut(8, seed));
        CHECK(std::isfinite(whole.loss));
        CHECK(whole.gradient.abs().max().item<double>() > 0);
        CHECK(parts.loss == doctest::Approx(whole.loss).epsilon(1e-10));
        CHECK((parts.gradient - whole.gradient).abs().max().item<double>() < 1e-10);
        for (const auto& [key, value] : whole.metrics) {
          CAPTURE(key);
          CHECK(parts.metrics.at(key) == doctest::Approx(value).epsilon(1e-10));
        }
      }
    }
  }
}

TEST_CASE("every preference objective: an excluded unit changes nothing, far values are finite") {
  for (const std::string& name : preference_registry().names()) {
    CAPTURE(name);
    const int64_t unit = unit_of(name);
    const auto algorithm = preference_of(name, name == "sami" ? Json::object() : Json{{"sft_weight", 0.5}});
    const PreferenceBatch step = random_preferences(2, unit);
    at::Tensor tokens;
    PreferenceBatch rest = take_units(step, {0, 2, 3, 4, 5, 6, 7}, &tokens);
    rest.index = at::arange(7);
    const StepResult whole = run_preferences(*algorithm, step, {all_units(8)});
    const StepResult part = run_preferences(*algorithm, rest, {all_units(7)});
    CHECK(part.loss == doctest::Approx(whole.loss).epsilon(1e-10));
    CHECK((whole.gradient - at::zeros_like(whole.gradient).index_add(0, tokens, part.gradient))
              .abs()
              .max()
              .item<double>() < 1e-10);

    const auto finite = [&](const PreferenceBatch& batch) {
      const StepResult r = run_preferences(*algorithm, batch, {all_units(8)});
      CHECK(std::isfinite(r.loss));
      CHECK(r.gradient.isfinite().all().item<bool>());
      for (const auto& [key, value] : r.metrics) CHECK(std::isfinite(value));
      return r;
    };
    for (const auto type : {at::kFloat, at::kDouble}) {
      for (const double far : {100.0, -100.0}) {
        PreferenceBatch batch = random_preferences(3, unit, 8, type);
        batch.logp_ref = batch.logp + far * at::where(batch.sequence.remainder(2).eq(0), 1.0, -1.0).to(type);
        finite(batch);
      }
      PreferenceBatch batch = random_preferences(3, unit, 8, type);
      batch.logp.fill_(0);  // probability one
      finite(batch);
      batch.include.zero_();
      CHECK(finite(batch).loss == 0);
      if (unit != 1) continue;
      batch = random_preferences(3, unit, 8, type);
      batch.label.fill_(true);  // one class only
      finite(batch);
      batch.label.fill_(false);
      finite(batch);
    }
  }
}

TEST_CASE("every divergence is finite far away") {
  for (const char* divergence : {"reverse_kl", "forward_kl", "js", "alpha"}) {
    for (const char* name : {"dpo", "ipo", "discopop", "exo_pair"}) {
      for (const double far : {100.0, -100.0}) {
        CAPTURE(std::string(name) + divergence + std::to_string(far));
        PreferenceBatch batch = random_preferences(3, 2, 8, at::kFloat);
        batch.logp_ref = batch.logp + far;
        const StepResult r =
            run_preferences(*preference_of(name, {{"divergence", divergence}}), batch, {all_units(8)});
        CHECK(std::isfinite(r.loss));
        CHECK(r.gradient.isfinite().all().item<bool>());
      }
    }
  }
}

TEST_CASE("DPO begins at ln 2 with margin 0 and learns in the right direction") {
  PreferenceBatch step = random_preferences(1, 2);
  step.logp_ref = step.logp;
  const StepResult r = run_preferences(*preference_of("dpo"), step, {all_units(8)});
  CHECK(r.loss == doctest::Approx(std::log(2.0)).epsilon(1e-12));
  CHECK(r.metrics.at("reward_margin") == 0);
  CHECK(r.metrics.at("reward_accuracy") == 0);  // strictly above
  const at::Tensor chosen = step.sequence.remainder(2).eq(0).logical_and(step.sequence.ne(2));
  CHECK(r.gradient.masked_select(chosen).lt(0).all().item<bool>());
}

TEST_CASE("metrics of pairs are what their comments say") {
  PreferenceBatch step = random_preferences(5, 2);
  step.include = at::Tensor();
  const StepResult r = run_preferences(*preference_of("dpo", {{"beta", 0.3}}),
                                       [&] {
                                         PreferenceBatch all = step;
                                         all.include = at::ones({8}, at::kDouble);
                                         return all;
                                       }(),
                                       {all_units(8)});
  double chosen = 0, rejected = 0, wins = 0, logp = 0;
  for (int64_t p = 0; p < 8; ++p) {
    const auto sum = [&](const at::Tensor& x, int64_t s) {
      return x.masked_select(step.sequence.eq(s)).sum().item<double>();
    };
    const double w = 0.3 * sum(step.logp - step.logp_ref, 2 * p),
                 l = 0.3 * sum(step.logp - step.logp_ref, 2 * p + 1);
    chosen += w / 8;
    rejected += l / 8;
    wins += (w > l) / 8.0;
    logp += sum(step.logp, 2 * p) / 8;
  }
  CHECK(r.metrics.at("reward_chosen") == doctest::Approx(chosen));
  CHECK(r.metrics.at("reward_rejected") == doctest::Approx(rejected));
  CHECK(r.metrics.at("reward_margin") == doctest::Approx(chosen - rejected));
  CHECK(r.metrics.at("reward_accuracy") == doctest::Approx(wins));
  CHECK(r.metrics.at("logp_chosen") == doctest::Approx(logp));
}

TEST_CASE("CoPG on pairs with rewards of 1/4 and -1/4 is IPO on sums") {
  const PreferenceBatch pairs = random_preferences(6, 2);
  PreferenceBatch step = pairs;
  step.include = at::ones({8}, at::kDouble);
  const double beta = 0.3;
  const StepResult ipo =
      run_preferences(*preference_of("ipo", {{"beta", beta}, {"length_norm", false}}), step, {all_units(8)});
  PolicyBatch policy;
  policy.sequences = 16;
  policy.sequence = step.sequence;
  policy.logp = step.logp;
  policy.logp_ref = step.logp_ref;
  policy.group = at::floor_divide(at::arange(16), 2);
  policy.reward = 0.25 - 0.5 * at::arange(16).remainder(2).to(at::kDouble);
  const StepResult copg = run_step(*algorithm_of("copg", {{"beta", beta}}), policy, {all_rows(policy)});
  // -((1/2) - (beta/2) d) d = (beta/2) ((d - 1/(2 beta))^2 - 1/(4 beta^2)), d the difference of log-ratios.
  CHECK(copg.loss == doctest::Approx(beta / 2 * (ipo.loss - 1 / (4 * beta * beta))).epsilon(1e-10));
  CHECK((copg.gradient - beta / 2 * ipo.gradient).abs().max().item<double>() < 1e-10);
}

TEST_CASE("BCO on labelled responses measures rewards from the middle of the two classes") {
  PreferenceBatch step = random_preferences(7, 1);
  const StepResult r = run_preferences(*preference_of("bco"), step, {all_units(8)});
  double loss = 0, count = 0, sums[2] = {}, counts[2] = {};
  std::vector<double> reward;
  for (int64_t s = 0; s < 8; ++s) {
    reward.push_back(0.1 *
                     (step.logp - step.logp_ref).masked_select(step.sequence.eq(s)).sum().item<double>());
    if (s == 1) continue;
    const int good = step.label[s].item<bool>();
    sums[good] += reward.back();
    counts[good] += 1;
  }
  const double middle = 0.5 * (sums[0] / counts[0] + sums[1] / counts[1]);
  for (int64_t s = 0; s < 8; ++s) {
    if (s == 1) continue;
    const double x = step.label[s].item<bool>() ? reward[s] - middle : middle - reward[s];
    loss += std::log1p(std::exp(-x));
    count += 1;
  }
  CHECK(r.loss == doctest::Approx(loss / count));
}

TEST_CASE("log1mexp is exact on both sides") {
  const at::Tensor x =
      at::tensor({-1e-5, -0.01, -0.693, -0.694, -3.0, -50.0, -1000.0}, at::kDouble).requires_grad_();
  const at::Tensor y = log1mexp(x);
  for (int64_t i = 0; i < 7; ++i) {
    const double v = x[i].item<double>();
    CHECK(y[i].item<double>() ==
          doctest::Approx(static_cast<double>(std::log(-std::expm1(static_cast<long double>(v)))))
              .epsilon(1e-12));
  }
  const at::Tensor gradient = torch::autograd::grad({y.sum()}, {x})[0];
  CHECK(at::allclose(gradient, -x.detach().exp() / (-at::expm1(x.detach())), 1e-9, 1e-12));
  CHECK(log1mexp(at::zeros({1}, at::kFloat)).isfinite().all().item<bool>());
}

TEST_CASE("a preference config that cannot be is refused") {
  CHECK_THROWS_WITH_AS(preference_of("kto", {{"also", {{{"name", "dpo"}}}}}),
                       doctest::Contains("cannot be summed"), UserError);
  CHECK_THROWS_WITH_AS(preference_of("aot", {{"wpo", true}}), doctest::Contains("wpo"), UserError);
  CHECK_THROWS_WITH_AS(preference_of("kto", {{"ld_alpha", 0.5}}), doctest::Contains("needs pairs"),
                       UserError);
  CHECK_THROWS_WITH_AS(preference_of("exo_pair", {{"label_smoothing", 0}}), doctest::Contains("above 0"),
                       UserError);
  CHECK_THROWS_WITH_AS(preference_of("dpo", {{"divergence", "kl"}}), doctest::Contains("one of reverse_kl"),
                       UserError);
  CHECK_THROWS_WITH_AS(preference_of("dpo", {{"also", {{{"name", "dqo"}}}}}),
                       doctest::Contains("did you mean \"dpo\""), UserError);
  const Json dump = dump_fields(*preference_of("mpo"));
  CHECK(dump["also"][0]["name"] == "bco_pair");
  auto again = preference_registry().find("mpo")->make();
  read_fields(*again, dump, "test", ".");
  CHECK(dump_fields(*again) == dump);
}

TEST_CASE("wrong pairs are refused in one line") {
  const Json good = parse_json(
      R"({"pairs": [{"chosen": {"logp": [-1], "logp_ref": [-1]}, "rejected": {"logp": [-2, -1], "logp_ref": [-1, -1]}}]})",
      "t");
  const Json out = evaluate_objective("dpo", good, Json::object());
  CHECK(out["grad"]["logp"].size() == 2);
  CHECK(out["grad"]["logp"][1].size() == 2);
  const auto refused = [](const Json& input, const char* text, const Json& set = Json::object(),
                          const char* name = "dpo") {
    CAPTURE(input.dump());
    CHECK_THROWS_WITH_AS(evaluate_objective(name, input, set), doctest::Contains(text), UserError);
  };
  refused({{"sequences", Json::array()}}, "expected an object with \"pairs\"");
  Json bad = good;
  bad["pairs"][0].erase("rejected");
  refused(bad, "pairs.0: \"rejected\" is missing");
  bad = good;
  bad["pairs"][0]["chosen"].erase("logp_ref");
  refused(bad, "pairs.0.chosen: \"logp_ref\" is missing, which others have");
  bad["pairs"][0]["rejected"].erase("logp_ref");
  refused(bad, "pairs.0.chosen: \"logp_ref\" is missing, and objective dpo needs it");
  CHECK(evaluate_objective("cpo", bad, Json::object())["loss"].is_number());
  refused(good, "\"log_sum_squares\" is missing", {{"wpo", true}});
  bad = good;
  bad["pairs"][0]["include"] = 3;
  refused(bad, "\"include\" is true or false");
  bad = good;
  bad["pairs"][0]["winner"] = 3;
  refused(bad, "unknown key \"winner\"");
  refused(good, "expected an object with \"sequences\"", Json::object(), "kto");
  refused(parse_json(R"({"sequences": [{"logp": [-1], "logp_ref": [-1]}]})", "t"), "\"label\" is missing",
          Json::object(), "kto");
}

}  // namespace temper::objective

#include "task/sft/multistage.h"

#include <cmath>
#include <map>
#include <set>

#include "base/random.h"
#include "runs.h"
#include "told.h"

using namespace temper;

namespace {

// Bernoulli naive Bayes, as its formula stands.
struct PlainBayes {
  double vocab, smoothing;
  std::vector<std::pair<std::set<int64_t>, bool>> texts = {};

  double log_probability(const std::set<int64_t>& text, bool label) const {
    long double joint[2];
    for (const int c : {0, 1}) {
      long double of_class = 0, all = 0;
      std::vector<long double> with(static_cast<size_t>(vocab), 0);
      for (const auto& [tokens, l] : texts) {
        all += 1;
        if (l != (c == 1)) continue;
        of_class += 1;
        for (const int64_t v : tokens) with[static_cast<size_t>(v)] += 1;
      }
      joint[c] = std::log(of_class / all);
      for (size_t v = 0; v < with.size(); ++v) {
        const long double p = (with[v] + smoothing) / (of_class + 2 * smoothing);
        joint[c] += text.count(static_cast<int64_t>(v)) > 0 ? std::log(p) : std::log(1 - p);
      }
    }
    return static_cast<double>(joint[label] - std::log(std::exp(joint[0]) + std::exp(joint[1])));
  }
};

std::set<int64_t> set_of(const std::vector<int64_t>& ids) {
  return {ids.begin(), ids.end()};
}

// Examples of a few tokens below 60; of the hard ones, every third, most have token 7.
std::vector<Drawn> stream(int count) {
  std::vector<Drawn> out;
  for (int i = 0; i < count; ++i) {
    RandomStream random(1, "stream", 0, static_cast<uint64_t>(i));
    Drawn d;
    for (int t = 0; t < 6; ++t) d.example.ids.push_back(static_cast<int64_t>(10 + random.below(50)));
    if (i % 3 == 0 ? random.uniform() < 0.95 : random.uniform() < 0.05) d.example.ids.push_back(7);
    d.example.target.assign(d.example.ids.size(), true);
    out.push_back(std::move(d));
  }
  return out;
}

double loss_of(int64_t i) {
  const double noise = 0.2 * RandomStream(1, "loss", 0, static_cast<uint64_t>(i)).normal();
  return (i % 3 == 0 ? 2.0 : 0.5) + noise;
}

}  // namespace

TEST_CASE("token bayes: its formula, for any counts, and the same after its state was kept") {
  RandomStream random(3, "texts");
  TokenBayes bayes(12, 0.7);
  PlainBayes plain{12, 0.7};
  CHECK(bayes.log_probability({1, 2}, true) == doctest::Approx(std::log(0.5)));
  bayes.learn({1, 2, 2}, true);
  CHECK(bayes.log_probability({3}, true) == 0);
  CHECK(bayes.log_probability({3}, false) == -HUGE_VAL);
  plain.texts.push_back({{1, 2}, true});
  for (int i = 0; i < 40; ++i) {
    std::vector<int64_t> text;
    for (uint64_t t = 0; t < 1 + random.below(8); ++t) text.push_back(static_cast<int64_t>(random.below(12)));
    const bool label = random.uniform() < 0.3 || i == 0 ? i != 0 : false;
    bayes.learn(text, label);
    plain.texts.push_back({set_of(text), label});
    std::vector<int64_t> asked(text.rbegin(), text.rend());
    asked.push_back(static_cast<int64_t>(random.below(12)));
    for (const bool l : {false, true}) {
      const double expected = plain.log_probability(set_of(asked), l);
      CHECK(bayes.log_probability(asked, l) == doctest::Approx(expected).epsilon(1e-10));
    }
  }
  TokenBayes again(12, 0.7);
  again.load(Json::parse(bayes.state().dump()), "here");
  CHECK(again.log_probability({1, 5}, true) == bayes.log_probability({1, 5}, true));
  CHECK(again.state() == bayes.state());
  TokenBayes smaller(4, 0.7);
  CHECK(
      has(problem([&] { smaller.load(bayes.state(), "here"); }), "here: the filter's predictor: has token"));
  CHECK(has(problem([&] { again.load(Json::array(), "here"); }), "here: the filter's predictor: expected"));
}

TEST_CASE("multistage: batches, stages and what is left out are those of a plain simulation") {
  const std::vector<Drawn> examples = stream(3000);
  MultistageOptions options;
  options.warmup = 0.1;
  options.window = 50;
  options.predictor_window = 40;
  options.predictor_loss = 0.35;
  const int64_t steps = 60, batch = 8;
  auto filter = std::make_unique<MultistageFilter>(options, examples, steps, batch, 60);

  // The simulation: one example after the other where the filter has batches.
  PlainBayes bayes{60, 1.0};
  std::vector<double> seen, log_losses;
  std::vector<int64_t> queue;
  int64_t stage = 0, drawn = 0, not_forwarded = 0, not_backwarded = 0, position = 0, next = 0;
  double threshold = 0;
  const auto window_mean = [](const std::vector<double>& all, size_t window) {
    const size_t n = std::min(all.size(), window);
    double sum = 0;
    for (size_t i = all.size() - n; i < all.size(); ++i) sum += all[i];
    return sum / static_cast<double>(n);
  };
  for (int64_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    if (step == 30) {  // a continued run
      const Json state = Json::parse(filter->state().dump());
      filter = std::make_unique<MultistageFilter>(options, examples, steps, batch, 60);
      filter->load(state, "here");
    }
    const auto taken = filter->batch(
        step,
        [&] {
          std::vector<int64_t> out;
          for (int64_t i = 0; i < batch; ++i) out.push_back(position++ % 3000);
          return out;
        },
        [&](const std::vector<int64_t>& which) {
          std::vector<double> out;
          for (const int64_t i : which) out.push_back(loss_of(i));
          return out;
        });
    if (stage == 0 && step >= 6) {
      stage = 1;
      threshold = window_mean(seen, 50);
    }
    std::vector<int64_t> expected;
    while (static_cast<int64_t>(stage == 0 ? 0 : queue.size()) < batch) {
      std::vector<std::pair<std::set<int64_t>, bool>> learnt;
      for (int64_t i = 0; i < batch; ++i, ++drawn) {
        const int64_t e = next++ % 3000;
        const auto text = set_of(examples[e].example.ids);
        const double loss = loss_of(e);
        if (stage == 0) {
          expected.push_back(e);
          seen.push_back(loss);
        } else if (stage == 2 && bayes.log_probability(text, true) < std::log(0.5)) {
          ++not_forwarded;
          ++not_backwarded;
        } else {
          log_losses.push_back(bayes.texts.empty() ? std::log(2.0)
                                                   : -bayes.log_probability(text, loss > threshold));
          learnt.emplace_back(text, loss > threshold);
          if (loss >= threshold)
            queue.push_back(e);
          else
            ++not_backwarded;
        }
      }
      bayes.texts.insert(bayes.texts.end(), learnt.begin(), learnt.end());
      if (stage == 0) break;
      if (stage == 1 && log_losses.size() >= 40 && window_mean(log_losses, 40) <= 0.35) stage = 2;
    }
    if (expected.empty()) {
      expected.assign(queue.begin(), queue.begin() + batch);
      queue.erase(queue.begin(), queue.begin() + batch);
    }
    CHECK(taken == expected);
    CHECK(filter->stage() == stage);
    CHECK(filter->observes() == (stage == 0));
    if (stage == 0) {
      std::vector<double> of_step;
      for (const int64_t i : taken) of_step.push_back(loss_of(i));
      filter->observe(of_step);
    }
    MetricsRow row;
    filter->add_metrics(row);
    CHECK(*row.find("filter/forward_skipped") ==
          static_cast<double>(not_forwarded) / static_cast<double>(drawn));
    CHECK(*row.find("filter/backward_skipped") ==
          static_cast<double>(not_backwarded) / static_cast<double>(drawn));
    if (stage > 0) {
      CHECK(*row.find("filter/threshold") == doctest::Approx(threshold).epsilon(1e-12));
      CHECK(*row.find("filter/predictor_loss") == doctest::Approx(window_mean(log_losses, 40)).epsilon(1e-9));
    }
    if (step >= 50)  // two of three examples are easy, and nearly all of those are seen coming
      for (const int64_t i : taken) CHECK(i % 3 == 0);
  }
  CHECK(stage == 2);
  CHECK(static_cast<double>(not_backwarded) / static_cast<double>(drawn) ==
        doctest::Approx(2.0 / 3).epsilon(0.1));
  CHECK(static_cast<double>(not_forwarded) / static_cast<double>(drawn) > 0.3);
}

TEST_CASE("multistage: a step that finds too little takes what it passed over last") {
  const std::vector<Drawn> examples = stream(30);
  MultistageOptions options;
  options.warmup = 0;
  options.most_draws = 3;
  MultistageFilter filter(options, examples, 10, 4, 60);
  int64_t position = 0;
  const auto draw = [&] {
    std::vector<int64_t> out;
    for (int i = 0; i < 4; ++i) out.push_back(position++ % 30);
    return out;
  };
  double level = 1.0;
  const auto losses = [&](const std::vector<int64_t>& which) {
    std::vector<double> out(which.size(), level);
    for (size_t k = 0; k < which.size(); ++k)
      if (which[k] == 5) out[k] = 9;
    return out;
  };
  CHECK(filter.batch(0, draw, losses) == std::vector<int64_t>{0, 1, 2, 3});
  filter.observe({1, 1, NAN, 1});
  level = 0.5;  // below the threshold, but for example 5
  CHECK(filter.batch(1, draw, losses) == std::vector<int64_t>{5, 15, 14, 13});
  MetricsRow row;
  filter.add_metrics(row);
  CHECK(*row.find("filter/drawn") == 12);
  CHECK(*row.find("filter/filled") == 0.75);
  CHECK(*row.find("filter/threshold") == 1);
  CHECK(*row.find("filter/backward_skipped") == 8.0 / 16);
  level = NAN;  // neither queued nor learnt
  CHECK(filter.batch(2, draw, losses) == std::vector<int64_t>{27, 26, 25, 24});
  Json state = filter.state();
  state["queue"] = {30};
  CHECK(has(problem([&] { filter.load(state, "here"); }), "here: the filter's queue: example 30 of 30"));
  state.erase("queue");
  CHECK(has(problem([&] { filter.load(state, "here"); }), "here: the filter's state"));
}

TEST_CASE(
    "multistage: runs go through the stages, for any micro-batch, and end with the same bytes when killed") {
  Runs runs;
  // Sums to learn among lines that are soon known.
  std::string lines;
  for (int i = 0; i < 48; ++i)
    lines += i % 3 == 0 ? fmt::format("{{\"prompt\": \"Add {} and {}:\", \"completion\": \" {}\"}}\n", i,
                                      i / 3, i + i / 3)
                        : std::string("{\"prompt\": \"Say yes:\", \"completion\": \" yes yes yes yes\"}\n");
  runs.write("mixed.jsonl", lines);
  const std::string config = tiny_sft("mixed.jsonl", 24);
  const std::vector<std::string> sets = {
      R"(filter={"kind": "multistage", "warmup": 0.4, "window": 64, "predictor_window": 16})",
      "train.batch_size=4", "checkpoint.every=3", "checkpoint.keep=99"};
  const auto whole = runs(config, "whole", sets);
  REQUIRE(whole.size() == 24);
  CHECK(*whole[0].find("filter/stage") == 0);
  CHECK(*whole[9].find("filter/backward_skipped") == 0);
  CHECK(*whole[10].find("filter/stage") >= 1);
  CHECK(*whole.back().find("filter/stage") == 2);
  CHECK(*whole.back().find("filter/backward_skipped") > 0.3);
  CHECK(*whole.back().find("filter/forward_skipped") > 0.1);
  CHECK(*whole[20].find("filter/drawn") >= 8);
  const auto with = [&](const std::string& more) {
    auto all = sets;
    all.push_back(more);
    return all;
  };
  check_same(whole, runs(config, "cut", with("train.micro_batch_tokens=16")), 1e-4);

  const auto folder = runs.folder() / "whole";
  for (const int kept : {6, 12, 18}) {  // of each stage
    CAPTURE(kept);
    const auto torn = runs.folder() / fmt::format("torn-{}", kept);
    std::filesystem::copy(folder, torn, std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(torn / "final");
    for (int step = kept + 1; step <= 24; ++step)
      std::filesystem::remove_all(torn / fmt::format("checkpoints/step-{}", step));
    check_same(whole, runs(config, fmt::format("torn-{}", kept), sets, "must"), 0x1p-60);
    CHECK(bytes(folder / "final/model.safetensors") == bytes(torn / "final/model.safetensors"));
  }
}

TEST_CASE("multistage: what does not go with it is refused") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 2), filter = R"(filter={"kind": "multistage"})";
  const auto refused = [&](std::vector<std::string> sets) {
    sets.insert(sets.begin(), filter);
    return problem([&] { runs(config, "refused", sets); });
  };
  CHECK(has(refused({"loss.name=mml"}), "filter: decides over single examples"));
  CHECK(has(refused({"data.weights=[1]", "data.end_weights=[1]"}), "data.end_weights: shares move"));
  CHECK(has(refused({"filter.most_draws=0"}), "filter.most_draws"));
}

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "report/parts.h"
#include "run/phases.h"

namespace temper {
namespace {

constexpr size_t kMaxSeries = 6;  // as many as there are colours

// A metric's place on the page. Several keys share one chart.
struct Curve {
  std::string title;
  std::vector<std::string> keys;
  std::string unit = {}, help = {};
  bool share = false, log = false;  // log: a log scale where the values span decades
  bool of_eval = false;             // of the evaluations' rows, not of training's
};

std::vector<Curve> known_curves() {
  return {
      {"Loss",
       {"loss"},
       "",
       "What the optimizer minimises. In reinforcement learning it stays near 0 and says little."},
      {"KL to the reference",
       {"kl"},
       "nats per token",
       "How far the policy has moved from where it started."},
      {"Entropy",
       {"entropy"},
       "nats per token",
       "How undecided the policy is; near 0 it no longer explores."},
      {"Answer length", {"length"}, "tokens", "Mean over the sampled answers."},
      {"Cut off",
       {"truncated"},
       "share of answers",
       "Answers that hit the token limit before they ended.",
       true},
      {"Groups with a signal",
       {"groups_kept"},
       "share of groups",
       "Groups whose answers did not all get the same reward.",
       true},
      {"Reward spread", {"reward_std"}, "", "Standard deviation of the reward over the step's answers."},
      {"Clipped",
       {"clip_low", "clip_high"},
       "share of tokens",
       "Tokens whose ratio the clip held back, on each side."},
      {"Ratio", {"ratio"}, "", "Mean of the new policy's probability over the old one's."},
      {"Advantage", {"advantage_abs"}, "", "Mean size of the advantages."},
      {"Change of the policy",
       {"approx_kl"},
       "nats per token",
       "From the policy that sampled to the one being trained."},
      {"Rollout gap",
       {"rollout_gap"},
       "nats per token",
       "How much sampling and training disagree about the same tokens."},
      {"Gradient norm", {"grad_norm"}, "", "Before clipping.", false, true},
      {"Learning rate", {"lr"}},
      {"Busiest expert",
       {"router_load"},
       "times the mean",
       "Of a mixture's experts: 1 when all are equally busy. No token is ever dropped."},
      {"Routers of decoding and training",
       {"router_agreement"},
       "share of choices",
       "Experts that decoding chose and the update's pass chooses, too.",
       true},
      {"Router entropy", {"router_entropy"}, "nats", "Of the experts' probabilities, a token and layer."},
      {"Skipped updates",
       {"skipped"},
       "per step",
       "Unhealthy ones: not a number, or far outside the running band."},
      {"Answers without a reward",
       {"null_rewards"},
       "share of answers",
       "The reward could not tell; left out of the means."},
      {"Tokens trained on", {"tokens"}, "so far"},
      {"Speed", {"tokens_per_s"}, "tokens per second"},
      {"Time",
       {"rollout_s", "scoring_s", "train_s", "optimizer_s"},
       "seconds per step",
       "Scoring's is the part of the rollout's that waited for scores after decoding; the optimizer's is "
       "part of "
       "training's."},
      {"Memory", {"memory_gb"}, "GB", "Highest resident size so far."},
  };
}

bool spans_decades(const std::vector<Series>& all) {
  double low = kNan, high = kNan;
  for (const Series& series : all) {
    for (double y : series.y) {
      if (!std::isfinite(y) || y == 0) continue;
      low = std::fmin(low, y);
      high = std::fmax(high, y);
    }
  }
  return low > 0 && high > 100 * low;
}

Series held_out(const ReportRun& run, const std::string& key, int colour) {
  Series out = series_of(run.eval, key);
  out.name = "held-out " + key;
  out.points = true;
  out.colour = colour;
  return out;
}

// What the task is about, on a whole row: the evaluations with their intervals and, where it is on the same
// scale (loss and loss, reward and accuracy), training with its smoothed line. train_key is emptied when it
// is not.
Chart main_chart(const ReportRun& run, std::string& train_key) {
  const std::string eval_key = main_key(run.eval);
  const bool same_scale =
      train_key == eval_key || eval_key.empty() || (train_key == "reward" && eval_key == "accuracy");
  if (!same_scale) train_key.clear();
  Series train = series_of(run.train, train_key), eval = held_out(run, eval_key, 1);
  train.name = "training " + train_key;
  train.smooth = true;
  for (const MetricsRow& row : run.eval) {
    if (!row.find(eval_key)) continue;
    eval.low.push_back(row.find("low").value_or(kNan));
    eval.high.push_back(row.find("high").value_or(kNan));
  }
  const bool band = std::any_of(eval.low.begin(), eval.low.end(), [](double x) { return std::isfinite(x); });
  if (!band) {
    eval.low.clear();
    eval.high.clear();
  }
  const std::string key = train_key.empty() ? eval_key : train_key;
  return {.title = key == "loss"       ? "Loss"
                   : key == "reward"   ? "Reward"
                   : key == "accuracy" ? "Accuracy"
                                       : key,
          .help = band ? "Marks: held-out evaluations with their 95% intervals." : "",
          .series = {std::move(train), std::move(eval)},
          .share = key == "accuracy",
          .wide = true};
}

// The losses of the sets of eval.losses, as many on a chart as there are colours.
std::vector<Curve> loss_curves(const ReportRun& run) {
  std::vector<Curve> out;
  std::set<std::string> placed;
  for (const MetricsRow& row : run.eval) {
    for (const auto& [key, value] : row.values) {
      if (key.rfind("loss/", 0) != 0 || !placed.insert(key).second) continue;
      if (out.empty() || out.back().keys.size() == kMaxSeries)
        out.push_back({.title = "Held-out losses", .unit = "nats per token", .of_eval = true});
      out.back().keys.push_back(key);
    }
  }
  for (Curve& curve : out)  // a chart of one curve names none
    if (curve.keys.size() == 1) curve.title = "Held-out loss: " + curve.keys.front().substr(5);
  return out;
}

// The known curves in their order, then whatever else was logged.
std::vector<Curve> all_curves(const ReportRun& run, const std::string& train_key) {
  std::vector<Curve> all = known_curves();
  std::set<std::string> placed = {train_key, "seconds"};  // seconds add up to the time in the header
  for (const Curve& curve : all) placed.insert(curve.keys.begin(), curve.keys.end());
  Curve parts{"Rewards by part", {}, "", "Unweighted means."};
  for (const MetricsRow& row : run.train) {
    for (const NamedValues* list : {&row.values, &row.time}) {
      for (const auto& [key, value] : *list) {
        if (key.rfind(kPhasePrefix, 0) == 0 || !placed.insert(key).second) continue;
        if (key.rfind("reward/", 0) == 0)
          parts.keys.push_back(key);
        else
          all.push_back({key, {key}});
      }
    }
  }
  all.insert(all.begin(), std::move(parts));
  const std::vector<Curve> losses = loss_curves(run);
  all.insert(all.begin(), losses.begin(), losses.end());
  return all;
}

}  // namespace

Series series_of(const std::vector<MetricsRow>& rows, const std::string& key) {
  Series out{.name = key};
  for (const MetricsRow& row : rows) {
    const auto value = row.find(key);
    if (!value) continue;
    out.x.push_back(static_cast<double>(row.step));
    out.y.push_back(*value);
  }
  return out;
}

std::string main_key(const std::vector<MetricsRow>& rows) {
  for (const char* key : {"accuracy", "reward", "loss"}) {
    if (std::any_of(rows.begin(), rows.end(),
                    [&](const MetricsRow& row) { return row.find(key).has_value(); })) {
      return key;
    }
  }
  return rows.empty() || rows.front().values.empty() ? "" : rows.front().values.front().first;
}

std::string report_curves(const ReportRun& run) {
  // One step axis for all charts.
  double first = std::numeric_limits<double>::infinity(), last = 0;
  for (const auto* rows : {&run.train, &run.eval}) {
    for (const MetricsRow& row : *rows) {
      first = std::min(first, static_cast<double>(row.step));
      last = std::max(last, static_cast<double>(row.step));
    }
  }
  const auto draw = [&](Chart chart) {
    chart.x_low = first;
    chart.x_high = last;
    return render_chart(chart);
  };
  std::string train_key = main_key(run.train);
  std::string out = draw(main_chart(run, train_key));
  const std::string eval_key = main_key(run.eval);
  for (const Curve& curve : all_curves(run, train_key)) {
    Chart chart{.title = curve.title, .unit = curve.unit, .help = curve.help, .share = curve.share};
    for (const std::string& key : curve.keys) {
      if (key == train_key || chart.series.size() == kMaxSeries) continue;
      Series series = series_of(curve.of_eval ? run.eval : run.train, key);
      for (const std::string prefix : {"reward/", "loss/"})
        if (key.rfind(prefix, 0) == 0) series.name = key.substr(prefix.size());
      series.smooth = key != "lr" && !curve.of_eval;
      series.points = curve.of_eval;
      series.colour = static_cast<int>(chart.series.size());
      chart.series.push_back(std::move(series));
      if (key != eval_key && curve.keys.size() == 1 && !curve.of_eval)
        chart.series.push_back(held_out(run, key, 1));
    }
    chart.log_y = curve.log && spans_decades(chart.series);
    out += draw(std::move(chart));
  }
  if (out.empty()) return "";
  return "<h2>Curves</h2>\n<section class=\"charts\" aria-label=\"Curves\">\n" + out + "</section>\n";
}

}  // namespace temper

#include "task/sft/config.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "train/config.h"

namespace temper {

void SftTask::fields(FieldVisitor& v) {
  v.choice("loss", "name", loss, loss_name, objective::supervised_registry(), "the loss");
  v.list("inputs", inputs, "what changes the examples on their way to the model");
  v.choice("filter", "kind", filter, filter_kind, filter_registry(), "which drawn examples are learnt");
}

void SftTask::data_fields(FieldVisitor& v) {
  v.field("reward_column", reward_column,
          {.help = "the column of the rewards, for losses that read them; larger is better. A number, or "
                   "segments with one each, as temper-eval --score --segments writes them"});
  v.choice(
      "select", "name", select, select_name, select_registry(),
      "which answers of groups (temper-generate --write groups) and of scored lines are learnt; left out: "
      "groups are an error, but for losses of a prompt's solutions together (mml), which take those of a "
      "reward of at least 0.5, or all where there are no rewards");
  v.field("weights", weights,
          {.help = "share of each file of \"train\" in a step's examples; left out: all records alike",
           .min = 0});
  v.field("end_weights", end_weights,
          {.help = "the shares in the last step, linear in between; left out: \"weights\"", .min = 0});
}

void SftTask::check_run(const RunConfig& config, std::vector<std::string>& problems) const {
  const std::vector<std::string>& train = config.data.train;
  if (select_name == "pairs") {
    problems.push_back(
        "data.select: \"pairs\" gives pairs, which the task \"preference\" learns from (pairs.from "
        "\"groups\"); try \"best\"");
  }
  const auto check_weights = [&](const char* name, const std::vector<double>& w) {
    if (w.empty()) return;
    if (w.size() != train.size()) {
      problems.push_back(
          fmt::format("data.{}: {} numbers for {} files of data.train", name, w.size(), train.size()));
    } else if (std::all_of(w.begin(), w.end(), [](double x) { return x == 0; })) {
      problems.push_back(fmt::format("data.{}: all are 0", name));
    }
  };
  check_weights("weights", weights);
  check_weights("end_weights", end_weights);
  if (weights.empty() && !end_weights.empty())
    problems.push_back("data.end_weights: give weights too, the shares in the first step");
  if (weights.size() > 1 && (config.data.order->reads_records() || config.data.order_kind == "subset"))
    problems.push_back(
        fmt::format("data.order: \"{}\" draws from all files as it sees fit; leave out data.weights, "
                    "or use \"shuffle\" or \"sequential\"",
                    config.data.order_kind));
  if (filter != nullptr && !end_weights.empty()) {
    problems.push_back(
        "data.end_weights: shares move with the steps, of which each draws as many batches as the filter "
        "asks for; leave out one of them");
  }
  if (filter != nullptr && config.data.order != nullptr && !config.data.order->needs().empty())
    problems.push_back(fmt::format(
        "filter: passes over examples that data.order \"{}\" is to observe; leave out one of them",
        config.data.order_kind));
  if (filter != nullptr && loss != nullptr && loss->make()->needs().group)
    problems.push_back(fmt::format(
        "filter: decides over single examples, but loss.name \"{}\" takes all solutions of a prompt together",
        loss_name));
  const std::set<std::string> files(train.begin(), train.end());
  if (!weights.empty() && files.size() < train.size())
    problems.push_back("data.weights: a file of train is named twice");
}

Heads SftTask::heads(const RunConfig&, const Records*, const Tokenizer*) const {
  Heads heads;
  if (loss->make()->needs().value) heads.scores = 1;
  return heads;
}

std::string SftTask::method() const {
  return method_text(objective::supervised_registry(), loss_name);
}

std::optional<FirstConfig> SftTask::first_config() const {
  using K = RecordKind;
  return FirstConfig{.kinds = {K::kText, K::kPromptCompletion, K::kMessages},
                     .lines = "{\"prompt\", \"completion\"}, {\"messages\"} or {\"text\"}",
                     .full_lr = 2e-5,
                     .adapter_lr = 2e-4,
                     .most_epochs = 3,
                     .tokens = [](const RecordEncoder& encoder, const Record& record) {
                       return static_cast<int64_t>(encoder.supervised(record).ids.size());
                     }};
}

}  // namespace temper

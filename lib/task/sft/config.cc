#include "task/sft/config.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "train/config.h"

namespace temper {

void SftTask::fields(FieldVisitor& v) {
  v.choice("loss", "name", loss, loss_name, objective::supervised_registry(), "the loss");
  v.list("inputs", inputs, "what changes the examples on their way to the model");
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
  const std::set<std::string> files(train.begin(), train.end());
  if (!weights.empty() && files.size() < train.size())
    problems.push_back("data.weights: a file of train is named twice");
}

Heads SftTask::heads(const RunConfig&, const std::vector<Record>*, const Tokenizer*) const {
  Heads heads;
  if (loss->make()->needs().value) heads.scores = 1;
  return heads;
}

}  // namespace temper

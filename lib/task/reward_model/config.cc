#include "task/reward_model/config.h"

#include <algorithm>

#include "base/error.h"
#include "model/load.h"
#include "task/reward_model/data.h"
#include "train/config.h"

namespace temper {

void RewardModelTask::fields(FieldVisitor& v) {
  v.choice("algorithm", "name", algorithm, algorithm_name, objective::reward_algorithm_registry(),
           "the loss");
  v.section("pairs", pairs, "pairs of answers, where the data has groups of scored ones");
  v.section("score", score, "how a score is read from the model");
}

void RewardModelTask::check_run(const RunConfig& config, std::vector<std::string>& problems) const {
  if (!config.eval.losses.empty() && !score.verbaliser()) {
    problems.push_back(
        "eval.losses: a model that scores with a head of its own has no language head, and so no loss of "
        "texts; leave it out, or score by words (section \"score\")");
  }
}

void RewardModelTask::data_fields(FieldVisitor& v) {
  v.field("label_threshold", label_threshold,
          {.help = "of groups of scored answers: smallest reward of a right completion or step; 0.5 "
                   "lies between rewards of 0 and 1"});
}

Heads RewardModelTask::heads(const RunConfig& config, const Records* records,
                             const Tokenizer* tokenizer) const {
  Heads heads;
  if (score.verbaliser()) return heads;
  const objective::RewardObjective losses(*algorithm);
  std::vector<std::string> rated;
  if (losses.wants(objective::RewardRows::kRated)) {
    rated = rated_attributes(in_forms(
        records != nullptr ? records->all("the ratings' names") : config.data.read(config.data.train), losses,
        *this, static_cast<uint64_t>(config.seed)));
  }
  const bool named = !rated.empty() && !rated[0].empty();
  heads.causal = false;
  const bool scored = !config.model.path.empty() && read_model_config(config.model.path).scores > 0;
  if (scored) {
    if (tokenizer != nullptr && !score.pad_token.empty())
      heads.pad_id = pad_id_of(score, *tokenizer, "score");
  } else {
    heads.scores = std::max<int64_t>(1, static_cast<int64_t>(rated.size()));
    if (named) heads.score_names = rated;
    if (tokenizer != nullptr) heads.pad_id = pad_id_of(score, *tokenizer, "score");
  }
  const int64_t scores = scored ? read_model_config(config.model.path).scores : heads.scores;
  for (const auto& part : losses.parts()) {
    if (part.needs.head >= scores) {
      user_error("algorithm.head: {} of {}, but the model has {} score{}, counted from 0", part.needs.head,
                 part.name, scores, scores == 1 ? "" : "s");
    }
  }
  return heads;
}

std::string RewardModelTask::method() const {
  return method_text(objective::reward_algorithm_registry(), algorithm_name);
}

std::optional<FirstConfig> RewardModelTask::first_config() const {
  return FirstConfig{.kinds = {RecordKind::kPreference},
                     .lines = "{\"prompt\", \"chosen\", \"rejected\"}",
                     .full_lr = 1e-5,
                     .adapter_lr = 1e-4,
                     .tokens = longest_answer};
}

}  // namespace temper

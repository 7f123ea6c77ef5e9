#include "task/rl/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/limits.h"
#include "train/config.h"
#include "train/plan.h"

namespace temper {

void RlTask::fields(FieldVisitor& v) {
  v.section("offline", offline, "scored responses from files");
  v.section("replay", replay, "groups of earlier steps, learnt from again beside fresh ones");
  v.choice("environment", "kind", environment_options, environment_kind, environment_registry(),
           "who answers what the policy writes, in conversations of several turns");
  v.section("rollout", rollout, "generation of the rollout batch");
  v.section("hint", hint, "hints for questions that no completion was right for");
  v.choice("algorithm", "name", algorithm, algorithm_name, objective::policy_registry(),
           "a preset and overrides of it");
}

void RlTask::train_fields(FieldVisitor& v) {
  v.field("updates_per_rollout", updates_per_rollout,
          {.help = "passes over a rollout batch", .min = 1, .max = 100});
}

void RlRollout::fields(FieldVisitor& v) {
  v.field("prompts_per_step", prompts_per_step,
          {.help = "prompts of a rollout batch", .min = 1, .max = 1 << 20});
  RolloutSection::fields(v);
  v.field("demonstrations", demonstrations,
          {.help = "of a group's completions, so many are the record's own instead of sampled", .min = 0});
  v.field("step_tokens", step_tokens,
          {.help = "tokens that a completion may draw in one step; what has not ended then goes on in the "
                   "next, under "
                   "its weights (Kimi k1.5, arXiv 2501.12599). 0: completions are sampled to their end",
           .unit = "tokens",
           .min = 0});
  v.field("openings", openings,
          {.help = "tokens that completions are made to begin with, each in an equal share of a group"});
  v.field("diversity", diversity,
          {.help = "writes how different a group's completions are: distinct and vendi (eval/diversity.h)"});
  v.field("routing", routing,
          {.help = "what becomes of the experts that a mixture's tokens went to in decoding: compare: the "
                   "metric router_agreement says which share of them the update's pass chooses, too; replay: "
                   "the policy's passes take them (R3, arXiv 2510.11370), and what decoding did not read is "
                   "routed as ever; own: nothing",
           .choices = {"compare", "replay", "own"}});
  v.section("prefix", prefix, "thinking that a group's completions begin with, for algorithm mrt");
  if (openings.size() == 2) {
    v.field("reference_samples", reference_samples,
            {.help = "answers of the initial model that a prompt's reference reward is the mean of",
             .min = 1,
             .max = 4096});
  }
}

void OfflineSection::fields(FieldVisitor& v) {
  v.field("files", files,
          {.help = "JSONL of scored responses (temper-generate --score writes such); none: all are sampled",
           .path = true});
  if (files.empty()) return;
  v.field("share", share,
          {.help = "share of a step's prompts whose responses are stored ones; 1: nothing is sampled",
           .min = 0.001,
           .max = 1});
  v.field("behaviour", behaviour,
          {.help = "folder of the model that wrote responses without log-probs; left out: the one that the "
                   "run starts from",
           .path = true});
}

int64_t OfflineSection::stored_prompts(int64_t prompts) const {
  const auto rounded = static_cast<int64_t>(std::lround(share * static_cast<double>(prompts)));
  return std::clamp<int64_t>(rounded, 1, prompts);
}

void RlTask::check_run(const RunConfig& config, std::vector<std::string>& problems) const {
  const auto problem = [&](std::string text) { problems.push_back(std::move(text)); };
  const bool judged = environment_options != nullptr && environment_options->scores();
  if (config.rewards.empty() && !offline.replaces_sampling() && !judged)
    problem("rewards: rl needs at least one, such as {\"kind\": \"math\"}");
  if (environment_options != nullptr && !rollout.openings.empty())
    problem(
        "rollout.openings: completions that are made to begin with a token have one turn; leave out "
        "environment");
  if (environment_options != nullptr) {
    const auto room = [&](const char* field, int64_t tokens) {
      const int64_t least = environment_options->least_tokens();
      if (tokens < least)
        problem(fmt::format("{}: {} tokens leave no room for what environment \"{}\" asks for; it needs {}",
                            field, tokens, environment_kind, least));
    };
    room("rollout.max_new_tokens", rollout.max_new_tokens);
    if (config.eval.max_new_tokens > 0) room("eval.max_new_tokens", config.eval.max_new_tokens);
  }
  if (offline.replaces_sampling() && config.model.path.empty())
    problem("model.path: with offline.share 1 there is no data.train to make a tokenizer from; give a model");
  if (algorithm == nullptr) return;
  const objective::Needs needs = algorithm->needs();
  if (needs.demonstration && rollout.demonstrations == 0) {
    problem(
        fmt::format("rollout.demonstrations: \"{}\" learns from completions that the records bring along; "
                    "give how many of a group, such as 1",
                    algorithm_name));
  }
  if (rollout.demonstrations > 0 && !needs.demonstration) {
    problem(
        fmt::format("rollout.demonstrations: \"{}\" would take them for samples of the policy; use "
                    "algorithm \"luffy\", or \"coderl\" for programs",
                    algorithm_name));
  }
  if (rollout.demonstrations >= rollout.group_size) {
    problem(fmt::format("rollout.demonstrations: {} of a group of {} leave nothing to sample",
                        rollout.demonstrations, rollout.group_size));
  }
  if (needs.opening && rollout.openings.size() != 2) {
    problem(
        fmt::format("rollout.openings: \"{}\" needs two tokens: the end of thinking, and what a thinking "
                    "answer begins with, such as [\"</think>\", \"Okay\"]",
                    algorithm_name));
  }
  if (!rollout.openings.empty() && !needs.opening) {
    problem(
        fmt::format("rollout.openings: \"{}\" would take the given tokens for drawn ones; use algorithm "
                    "\"adaptthink\"",
                    algorithm_name));
  }
  if (needs.ended && !rollout.prefix.on()) {
    problem(
        fmt::format("rollout.prefix.tokens: \"{}\" needs answers that go on from a beginning beside those "
                    "that end there; give its longest length, such as 256",
                    algorithm_name));
  }
  if (rollout.prefix.on() && !needs.ended) {
    problem(
        fmt::format("rollout.prefix: \"{}\" would compare answers that were told to end their thinking with "
                    "those that were not; use algorithm \"mrt\"",
                    algorithm_name));
  }
  if (rollout.prefix.on() && (environment_options != nullptr || !rollout.openings.empty()))
    problem(
        "rollout.prefix: completions behind a shared beginning have one turn and no opening; leave out "
        "environment and rollout.openings");
  const auto ways =
      rollout.prefix.on() ? 2 : std::max<int64_t>(1, static_cast<int64_t>(rollout.openings.size()));
  if ((rollout.group_size - rollout.demonstrations) % ways != 0)
    problem(fmt::format("rollout.group_size: {} cannot be shared equally by {} {}", rollout.group_size, ways,
                        rollout.prefix.on() ? "halves" : "openings"));
  if (offline.on()) {
    const std::pair<bool, const char*> fresh_only[] = {
        {needs.greedy_reward, "the reward of a greedy answer"},
        {needs.reward_parts, "each reward function's own score"},
        {needs.demonstration, "demonstrations in each group"},
        {needs.process, "scores of steps"},
        {needs.turn, "turns"},
        {needs.opening, "forced openings"},
        {needs.ended, "beginnings that groups share"}};
    for (const auto& [needed, what] : fresh_only) {
      if (needed)
        problem(
            fmt::format("offline.files: \"{}\" needs {}, which stored responses lack", algorithm_name, what));
    }
  }
  if (replay.on()) {
    const std::pair<bool, const char*> fresh_only[] = {
        {offline.replaces_sampling(), "offline.share 1: nothing is sampled"},
        {rollout.step_tokens > 0, "rollout.step_tokens: completions go on over several steps"},
        {rollout.demonstrations > 0, "rollout.demonstrations: each group brings its own"},
        {!rollout.openings.empty(), "rollout.openings: completions are made to begin in two ways"},
        {rollout.prefix.on(), "rollout.prefix: completions share a beginning"},
        {replays_routes(), "rollout.routing replay: the choices of earlier steps are not kept"},
        {needs.greedy_reward, "algorithm: it compares with a greedy answer of the policy as it is"}};
    for (const auto& [given, what] : fresh_only)
      if (given) problem(fmt::format("{}; leave out replay", what));
    const int64_t taken = replay.replayed_prompts(rollout.prompts_per_step),
                  stored = offline.on() ? offline.stored_prompts(rollout.prompts_per_step) : 0;
    if (taken + stored >= rollout.prompts_per_step && !offline.replaces_sampling())
      problem(fmt::format("replay.share: {} replayed{} of {} prompts a step leave nothing to sample", taken,
                          stored > 0 ? fmt::format(" and {} stored", stored) : "", rollout.prompts_per_step));
  }
  if (rollout.constrains()) {
    if (algorithm->correction == "none")
      problem(
          "rollout.regex and its kin: constrained samples are not the policy's own; "
          "algorithm.correction \"truncate\" or \"mask\" weighs them by what the constraint allowed");
    const std::pair<bool, const char*> plain_only[] = {
        {rollout.step_tokens > 0, "rollout.step_tokens: a constraint sees a text from its beginning"},
        {!rollout.openings.empty(), "rollout.openings: a constraint sees a text from its beginning"},
        {rollout.prefix.on(), "rollout.prefix: a constraint sees a text from its beginning"}};
    for (const auto& [given, what] : plain_only)
      if (given) problem(fmt::format("{}; leave out what constrains rollout", what));
  }
  if (rollout.step_tokens > 0) {
    if (algorithm->correction == "none")
      problem(
          "rollout.step_tokens: tokens of earlier weights need algorithm.correction \"truncate\" or "
          "\"mask\"");
    const std::pair<bool, const char*> whole_only[] = {
        {environment_options != nullptr, "environment: conversations are sampled to their end"},
        {rollout.demonstrations > 0, "rollout.demonstrations: groups with them are sampled to their end"},
        {!rollout.openings.empty(), "rollout.openings: groups with them are sampled to their end"},
        {rollout.prefix.on(), "rollout.prefix: groups with one are sampled to their end"}};
    for (const auto& [given, what] : whole_only)
      if (given) problem(fmt::format("{}; leave out rollout.step_tokens", what));
  }
  if (needs.turn && environment_options == nullptr) {
    problem(
        "algorithm.turn_advantage.omega: compares the turns of conversations; give an environment, or leave "
        "it out");
  }
  if (hint.on()) {
    const std::pair<bool, const char*> plain_only[] = {
        {offline.replaces_sampling(), "offline.share 1: nothing is sampled"},
        {rollout.demonstrations > 0, "rollout.demonstrations: groups with them have a right answer already"},
        {!rollout.openings.empty(), "rollout.openings: completions are made to begin in two ways"},
        {rollout.prefix.on(), "rollout.prefix: completions share a beginning"},
        {rollout.step_tokens > 0, "rollout.step_tokens: groups are complete in later steps"}};
    for (const auto& [given, what] : plain_only)
      if (given) problem(fmt::format("{}; leave out hint", what));
    if (hint.keep >= rollout.group_size)
      problem(fmt::format("hint.keep: {} of a group of {} leave nothing to ask again", hint.keep,
                          rollout.group_size));
  }
  if (rollout.temperature == 0)
    problem("rollout.temperature: 0 is greedy, so all completions of a group would be equal; try 1.0");
  if (config.train.batch_size > rollout.prompts_per_step) {
    problem(
        fmt::format("train.batch_size: {} prompts an optimizer step, but rollout.prompts_per_step gives {}",
                    config.train.batch_size, rollout.prompts_per_step));
  } else if (rollout.prompts_per_step % config.train.batch_size != 0) {
    problem(fmt::format("train.batch_size: {} does not divide rollout.prompts_per_step {}",
                        config.train.batch_size, rollout.prompts_per_step));
  }
}

void RlTask::resolve(RunConfig& config) {
  const bool judged = environment_options != nullptr && environment_options->scores();
  if (!judged || !config.rewards.empty()) return;
  RewardEntry& entry = config.rewards.emplace_back();
  entry.kind = "environment";
  entry.options = reward_registry().find(entry.kind)->make();
}

int64_t RlTask::updates(const RunConfig& config) const {
  return config.train.steps * updates_per_rollout * rollout.prompts_per_step / config.train.batch_size;
}

Heads RlTask::heads(const RunConfig&, const Records*, const Tokenizer*) const {
  Heads heads;
  const objective::Needs needs = algorithm->needs();
  if (needs.critic()) heads.scores = needs.outcome_score ? objective::kOutcomeCount : 1;
  return heads;
}

TaskMemory RlTask::memory(const RunConfig&, const PlanShapes& shapes) const {
  TaskMemory out{.cache = shapes.cache_bytes(rollout, rollout.prompts_per_step)};
  if (replay.on())
    out.replay = product("replay.capacity: bytes of groups",
                         {replay.capacity, rollout.group_size, rollout.max_new_tokens, kReplayBytesPerToken});
  return out;
}

std::vector<Advice> RlTask::advise(const MetricsRow& row) const {
  const auto reward = row.find("reward"), loss = row.find("loss");
  if (!reward || !loss || std::abs(*loss) >= 1e-3) return {};
  return {
      {"loss_near_zero", true,
       "a loss of about 0 is normal here: at the first update the policy is the one that sampled, so every "
       "ratio is 1 and a group's advantages cancel in the sum, though not in the gradient; watch reward and "
       "groups_kept"}};
}

std::string RlTask::method() const {
  return method_text(objective::policy_registry(), algorithm_name);
}

namespace {

// A reward that the records have a reference for.
Json reward_with_a_reference(const Record& record) {
  for (const char* column : {"answer", "solution", "ground_truth", "target"}) {
    if (!has_column(record.json, column)) continue;
    Json reward = {{"kind", "math"}};
    if (std::string(column) != "answer") reward["column"] = column;
    return reward;
  }
  user_error(
      "{}: no column says what a right answer is (looked for answer, solution, ground_truth, target); write "
      "the "
      "config by hand with a reward of \"temper-inspect list reward\"",
      record.where());
}

}  // namespace

std::optional<FirstConfig> RlTask::first_config() const {
  return FirstConfig{
      .kinds = {RecordKind::kPrompt, RecordKind::kPromptCompletion},
      .lines = "{\"prompt\", ...} with what a reward reads, such as \"answer\"",
      .full_lr = 1e-6,
      .adapter_lr = 1e-5,
      .tokens = [](const RecordEncoder& encoder,
                   const Record& record) { return static_cast<int64_t>(encoder.prompt(record).size()); },
      .sections = [](const Record& first, int64_t max_tokens, int64_t positions) -> FirstConfig::Sections {
        return {{{"rollout",
                  {{"prompts_per_step", 8},
                   {"group_size", 8},
                   {"max_new_tokens", std::min<int64_t>(256, positions - max_tokens)}}},
                 "prompts a step, answers to each, and how long these may get"},
                {{"rewards", Json::array({reward_with_a_reference(first)})},
                 "others: temper-inspect list reward"},
                {{"algorithm", {{"name", "grpo"}}}, "others: temper-inspect list objective"}};
      }};
}

}  // namespace temper

#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "data/records.h"
#include "model/families.h"
#include "model/precision.h"

namespace temper {

void InitSection::fields(FieldVisitor& v) {
  v.field("family", family, {.help = "model family, as config.json's model_type"});
  v.field("vocab", vocab,
          {.help = "vocabulary of the tokenizer trained on the run's data", .min = 0, .max = 1 << 20});
  v.field("hidden", hidden, {.help = "width of the residual stream", .min = 8, .max = 1 << 16});
  v.field("intermediate", intermediate, {.help = "width inside the MLP", .min = 8, .max = 1 << 20});
  v.field("layers", layers, {.help = "number of blocks", .min = 1, .max = 1000});
  v.field("heads", heads, {.help = "query heads", .min = 1, .max = 1024});
  v.field("kv_heads", kv_heads, {.help = "key/value heads; divides heads", .min = 1, .max = 1024});
  v.field("max_positions", max_positions,
          {.help = "longest sequence", .unit = "tokens", .min = 8, .max = 1 << 24});
  v.field("tied", tied, {.help = "the head is the embedding"});
  v.field("rope_theta", rope_theta, {.help = "base of the rotary angles", .min = 1});
  v.field("norm_eps", norm_eps, {.help = "epsilon of the RMS norms", .min = 0});
}

void InitSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (vocab == 0) return;  // no "init" at all
  if (find_family(family) == nullptr)
    problems.push_back(where + ".family: expected one of " + family_names() + ", found \"" + family + "\"");
  if (hidden % heads != 0)
    problems.push_back(fmt::format("{}: hidden {} is not a multiple of heads {}", where, hidden, heads));
  if (heads % kv_heads != 0)
    problems.push_back(fmt::format("{}: heads {} is not a multiple of kv_heads {}", where, heads, kv_heads));
  if (hidden % heads == 0 && (hidden / heads) % 2 != 0) {
    problems.push_back(
        fmt::format("{}: hidden / heads = {} must be even for rotary positions", where, hidden / heads));
  }
}

ModelConfig InitSection::model_config() const {
  ModelConfig c;
  c.family = family;
  c.vocab = vocab;
  c.hidden = hidden;
  c.intermediate = intermediate;
  c.layers = layers;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.head_dim = hidden / heads;
  c.max_positions = max_positions;
  c.tied = tied;
  c.rope_theta = rope_theta;
  c.norm_eps = norm_eps;
  c.qkv_bias = find_family(family)->qkv_bias;
  c.qk_norm = find_family(family)->qk_norm;
  return c;
}

void ModelSection::fields(FieldVisitor& v) {
  v.field("path", path,
          {.help = "a Hugging Face model folder; left out: random weights by \"init\"", .path = true});
  v.field("dtype", dtype, {.help = "compute dtype", .choices = {"auto", "bf16", "f32"}});
  v.field("checkpointing", checkpointing,
          {.help = "recompute blocks in backward to save memory",
           .choices = {"off", "all", "every_2", "every_3", "every_4", "every_8"}});
  if (path.empty()) v.section("init", init, "shapes of a model that starts from random weights");
}

void ModelSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (path.empty() && init.vocab == 0) {
    problems.push_back(
        where +
        ": give \"path\", a Hugging Face folder, or \"init\" with at least \"vocab\" for random weights");
  }
}

int64_t ModelSection::checkpoint_every() const {
  if (checkpointing == "off") return 0;
  return checkpointing == "all" ? 1 : checkpointing.back() - '0';
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

void DataSection::fields(FieldVisitor& v) {
  v.field("train", train, {.help = "JSONL files to train on", .required = needs_train, .path = true});
  v.field("eval", eval, {.help = "held-out JSONL files", .path = true});
  v.field("template", chat_template,
          {.help = "chat template: auto (the tokenizer's), chatml, or a .jinja file"});
  v.field("prompt_column", prompt_column, {.help = "the column that holds the prompt, such as \"question\""});
  v.field("chat_prompts", chat_prompts,
          {.help = "a prompt that is a string is asked as a user's chat message"});
  v.field("prefix", prefix,
          {.help = "text before every prompt and example, such as a control token that training taught"});
  if (task == "sft") {
    v.field("reward_column", reward_column,
            {.help = "the column of the rewards, for losses that read them; larger is better"});
    v.field("weights", weights,
            {.help = "share of each file of \"train\" in a step's examples; left out: all records alike",
             .min = 0});
    v.field("end_weights", end_weights,
            {.help = "the shares in the last step, linear in between; left out: \"weights\"", .min = 0});
  }
  v.field("max_tokens", max_tokens, {.help = "longest example or prompt", .unit = "tokens", .min = 2});
  v.field("overlong", overlong,
          {.help = "what happens to longer ones", .choices = {"drop", "truncate", "error"}});
  v.field("targets", targets,
          {.help = "sft: which tokens are learnt; auto: completions and assistant turns, all of a text",
           .choices = {"auto", "all", "assistant", "completion"}});
  v.field("order", order, {.help = "order of the records", .choices = {"shuffle", "sequential"}});
}

void DataSection::check(std::vector<std::string>& problems, const std::string& where) const {
  const auto check_weights = [&](const char* name, const std::vector<double>& w) {
    if (w.empty()) return;
    if (w.size() != train.size()) {
      problems.push_back(fmt::format("{}.{}: {} numbers for {} files of {}.train", where, name, w.size(),
                                     train.size(), where));
    } else if (std::all_of(w.begin(), w.end(), [](double x) { return x == 0; })) {
      problems.push_back(fmt::format("{}.{}: all are 0", where, name));
    }
  };
  check_weights("weights", weights);
  check_weights("end_weights", end_weights);
  if (weights.empty() && !end_weights.empty())
    problems.push_back(where + ".end_weights: give weights too, the shares in the first step");
  const std::set<std::string> files(train.begin(), train.end());
  if (!weights.empty() && files.size() < train.size())
    problems.push_back(where + ".weights: a file of train is named twice");
}

void DataSection::adapt(std::vector<Record>& records) const {
  for (Record& record : records) {
    if (prompt_column != "prompt") {
      if (!record.json.contains(prompt_column)) {
        user_error("{}: has no column \"{}\", which data.prompt_column names", record.where(), prompt_column);
      }
      record.json["prompt"] = record.json[prompt_column];
    }
    if (chat_prompts && record.json.contains("prompt") && record.json["prompt"].is_string()) {
      record.json["prompt"] = Json::array({{{"role", "user"}, {"content", record.json["prompt"]}}});
      Json& completion = record.json["completion"];
      if (completion.is_string())
        completion = Json::array({{{"role", "assistant"}, {"content", completion}}});
      if (completion.is_null()) record.json.erase("completion");
    }
  }
}

void RolloutSection::fields(FieldVisitor& v) {
  v.field("prompts_per_step", prompts_per_step,
          {.help = "prompts of a rollout batch", .min = 1, .max = 1 << 20});
  v.field("group_size", group_size, {.help = "completions a prompt", .min = 1, .max = 4096});
  v.field("max_batch", max_batch, {.help = "sequences decoded together", .min = 1, .max = 4096});
  v.field("demonstrations", demonstrations,
          {.help = "of a group's completions, so many are the record's own instead of sampled", .min = 0});
  v.field("openings", openings,
          {.help = "tokens that completions are made to begin with, each in an equal share of a group"});
  if (openings.size() == 2) {
    v.field("reference_samples", reference_samples,
            {.help = "answers of the initial model that a prompt's reference reward is the mean of",
             .min = 1,
             .max = 4096});
  }
  SamplingOptions::fields(v);
}

void TrainSection::fields(FieldVisitor& v) {
  v.field("steps", steps, {.help = "steps of the run (rl: rollout batches)", .min = 1});
  v.field("batch_size", batch_size,
          {.help = task == "rl"           ? "prompts an optimizer step"
                   : task == "preference" ? "pairs or labelled answers an optimizer step"
                                          : "examples an optimizer step",
           .min = 1});
  v.field("micro_batch_tokens", micro_batch_tokens,
          {.help = "tokens of one forward and backward pass; memory, never results, depends on it",
           .unit = "tokens",
           .min = 1});
  if (task == "sft") return;
  if (task == "rl") {
    v.field("updates_per_rollout", updates_per_rollout,
            {.help = "passes over a rollout batch", .min = 1, .max = 100});
  }
  v.field("share_prompts", share_prompts,
          {.help = "compute a group's prompt once; results do not depend on it"});
}

void EvalSection::fields(FieldVisitor& v) {
  v.field("every", every,
          {.help = "steps between evaluations, also before the first and after the last; 0: none",
           .unit = "steps",
           .min = 0});
  v.field("samples", samples, {.help = "completions a prompt", .min = 1, .max = 1024});
  v.field("limit", limit, {.help = "evaluate the first so many records; 0: all", .min = 0});
  v.field("max_new_tokens", max_new_tokens,
          {.help = "longest completion; 0: rollout's, or 256", .unit = "tokens", .min = 0});
  v.field("temperature", temperature, {.help = "0: greedy", .min = 0, .max = 100});
}

void CheckpointSection::fields(FieldVisitor& v) {
  v.field(
      "every", every,
      {.help = "steps between checkpoints; 0: only at the end or on a signal", .unit = "steps", .min = 0});
  v.field("keep", keep, {.help = "newest checkpoints kept", .min = 1});
  v.field("best", best, {.help = "also keep the checkpoint with the best evaluation"});
}

void RunConfig::fields(FieldVisitor& v) {
  v.field("task", task, {.help = "what to run", .choices = {"sft", "preference", "rl"}, .required = true});
  const bool rl = task == "rl";
  train.task = task;
  data.task = task;
  v.field("seed", seed, {.help = "names all random streams of the run", .min = 0});
  v.field("device", device, {.help = "cpu or cuda"});
  v.field(
      "threads", threads,
      {.help = "threads; 0: all cores. Part of the run: results may depend on it", .min = 0, .max = 1024});
  v.section("model", model, "the model");
  v.choice("adapter", "kind", adapter, adapter_kind, adapter_registry(), "what trains");
  if (rl) v.section("offline", offline, "scored responses from files");
  data.needs_train = !offline.replaces_sampling();
  v.section("data", data, "the data");
  if (rl) v.section("rollout", rollout, "generation of the rollout batch");
  const bool preferences = task == "preference";
  if (!preferences) {
    v.list("rewards", rewards,
           rl ? "what completions are scored by" : "what evaluations score completions by");
    v.field("combine", combine, {.help = "how rewards combine", .choices = reward_combinations()});
  }
  if (rl)
    v.choice("algorithm", "name", algorithm, algorithm_name, objective::policy_registry(),
             "a preset and overrides of it");
  if (preferences) {
    v.choice("algorithm", "name", preference, preference_name, objective::preference_registry(),
             "a preset and overrides of it");
  }
  if (task == "sft") {
    v.choice("loss", "name", loss, loss_name, objective::supervised_registry(), "the loss");
    v.list("inputs", inputs, "what changes the examples on their way to the model");
  }
  v.choice("optimizer", "name", optimizer, optimizer_name, optimizer_registry(), "the optimizer");
  v.choice("schedule", "name", schedule, schedule_name, schedule_registry(),
           "the learning rate over the run");
  v.section("train", train, "steps and batches");
  v.section("eval", eval, "evaluation on held-out data during the run");
  v.section("checkpoint", checkpoint, "when to save");
  v.section("health", health, "what counts as a bad step");
  v.field("samples_logged", samples_logged, {.help = "rows of samples.jsonl a step", .min = 0, .max = 10000});
  v.field("run", run, {.help = "the run folder", .path = true});
}

void RunConfig::check(std::vector<std::string>& problems, const std::string& where) const {
  if (eval.every > 0 && data.eval.empty())
    problems.push_back("eval.every: there is nothing to evaluate on; give data.eval");
  if (preference != nullptr && preference->loss != nullptr && preference->needs().log_sum_squares) {
    problems.push_back(
        "algorithm.wpo: its weight needs sums over the vocabulary, which training cannot give it yet");
  }
  if (task == "rl") check_rl(problems);
}

// What the parts of an rl run ask of each other.
void RunConfig::check_rl(std::vector<std::string>& problems) const {
  const auto problem = [&](std::string text) { problems.push_back(std::move(text)); };
  if (rewards.empty() && !offline.replaces_sampling())
    problem("rewards: rl needs at least one, such as {\"kind\": \"math\"}");
  if (offline.replaces_sampling() && model.path.empty())
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
                    "algorithm \"luffy\"",
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
  const auto ways = std::max<int64_t>(1, static_cast<int64_t>(rollout.openings.size()));
  if ((rollout.group_size - rollout.demonstrations) % ways != 0)
    problem(fmt::format("rollout.group_size: {} cannot be shared equally by {} openings", rollout.group_size,
                        ways));
  if (offline.on()) {
    const std::pair<bool, const char*> fresh_only[] = {
        {needs.greedy_reward, "the reward of a greedy answer"},
        {needs.reward_parts, "each reward function's own score"},
        {needs.demonstration, "demonstrations in each group"},
        {needs.opening, "forced openings"}};
    for (const auto& [needed, what] : fresh_only) {
      if (needed)
        problem(
            fmt::format("offline.files: \"{}\" needs {}, which stored responses lack", algorithm_name, what));
    }
  }
  if (rollout.temperature == 0)
    problem("rollout.temperature: 0 is greedy, so all completions of a group would be equal; try 1.0");
  if (train.batch_size > rollout.prompts_per_step) {
    problem(
        fmt::format("train.batch_size: {} prompts an optimizer step, but rollout.prompts_per_step gives {}",
                    train.batch_size, rollout.prompts_per_step));
  } else if (rollout.prompts_per_step % train.batch_size != 0) {
    problem(fmt::format("train.batch_size: {} does not divide rollout.prompts_per_step {}", train.batch_size,
                        rollout.prompts_per_step));
  }
}

void load_run_config(RunConfig& config, const std::string& path, const std::vector<std::string>& sets) {
  read_config_file(config, path, sets);
  if (config.threads == 0) config.threads = std::max<int64_t>(1, std::thread::hardware_concurrency());
  if (config.model.dtype == "auto")
    config.model.dtype = dtype_name(make_precision("auto", config.device).compute);
  if (config.run.empty()) config.run = "runs/" + fs::path(path).stem().string();
}

}  // namespace temper

#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "model/load.h"

namespace temper {

void RunConfig::fields(FieldVisitor& v) {
  v.choice_here("task", task, task_name, *tasks);
  data.task = train.task = task.get();
  v.field("seed", seed, {.help = "names all random streams of the run", .min = 0, .max = 0x1p63});
  v.field("device", device, {.help = "cpu or cuda"});
  v.field(
      "threads", threads,
      {.help = "threads; 0: all cores. Part of the run: results may depend on it", .min = 0, .max = 1024});
  v.section("model", model, "the model");
  const bool trains = !task || task->one_training();
  if (trains) v.choice("adapter", "kind", adapter, adapter_kind, adapter_registry(), "what trains");
  v.section("data", data, "the data");
  if (const std::string help = task ? task->rewards_help() : ""; !help.empty()) {
    v.list("rewards", rewards, help);
    v.field("combine", combine, {.help = "how rewards combine", .choices = reward_combinations()});
  }
  if (trains) {
    v.choice("optimizer", "name", optimizer, optimizer_name, optimizer_registry(), "the optimizer");
    v.choice("schedule", "name", schedule, schedule_name, schedule_registry(),
             "the learning rate over the run");
    v.section("train", train, "steps and batches");
    v.section("eval", eval, "evaluation on held-out data during the run");
    v.section("checkpoint", checkpoint, "when to save");
    v.section("dist", dist, "the processes of a run in several");
    v.section("health", health, "what counts as a bad step");
    v.field("samples_logged", samples_logged,
            {.help = "rows of samples.jsonl a step", .min = 0, .max = 10000});
  }
  v.field("run", run, {.help = "the run folder", .path = true});
}

namespace {

// What the order reads, the task must draw and observe.
void check_order(const RunConfig& c, std::vector<std::string>& problems) {
  const OrderOptions& order = *c.data.order;
  const std::vector<Observes> needs = order.needs();
  const auto fits = [&](const Task& task) {
    return needs.empty() || std::find(needs.begin(), needs.end(), task.observes()) != needs.end();
  };
  if (!fits(*c.task)) {
    std::string what, tasks;
    for (const Observes one : needs)
      what += std::string(what.empty() ? "" : " or ") +
              (one == Observes::kRewards ? "rewards of sampled completions" : "losses of examples");
    for (const auto& entry : c.tasks->entries())
      if (fits(*entry.make())) tasks += (tasks.empty() ? "" : ", ") + entry.name;
    problems.push_back(fmt::format(
        "data.order: \"{}\" needs {}, which this run does not observe; use \"shuffle\", or a task "
        "that does ({})",
        c.data.order_kind, what, tasks));
  } else if (order.reads_records() && !c.task->draws_records()) {
    problems.push_back(fmt::format(
        "data.order: \"{}\" reads columns and files of the records, but task \"{}\" draws what it "
        "makes of them; use \"shuffle\", \"sequential\" or \"subset\"",
        c.data.order_kind, c.task_name));
  }
}

}  // namespace

void RunConfig::check(std::vector<std::string>& problems, const std::string& where) const {
  if (!task->one_training()) {
    if (data.eval_share > 0)
      problems.push_back(
          fmt::format("data.eval_share: task \"{}\" is several trainings; give data.eval", task_name));
    return task->check_run(*this, problems);
  }
  if (eval.every > 0 && !data.has_eval() && eval.losses.empty()) {
    problems.push_back(
        "eval.every: there is nothing to evaluate on; give data.eval, data.eval_share, data.make_eval or "
        "eval.losses");
  }
  if (model.quantise != "none" && !adapter->takes_quantised_base()) {
    std::string kinds;
    for (const auto& entry : adapter_registry().entries())
      if (entry.make()->takes_quantised_base()) kinds += (kinds.empty() ? "" : ", ") + entry.name;
    problems.push_back(fmt::format(
        "model.quantise: \"{}\" is for adapters that leave the model's weights as they are, not for \"{}\": "
        "set adapter.kind to one of {}, or model.quantise to \"none\"",
        model.quantise, adapter_kind, kinds));
  }
  if (dist.backend == "nccl" && device != "cuda") {
    problems.push_back(fmt::format(
        "dist.backend: \"nccl\" carries tensors from GPU to GPU, but device is \"{}\"; use \"gloo\"",
        device));
  }
  if (dist.shard != "none" && !adapter->trains_a_fixed_set()) {
    std::string kinds;
    for (const auto& entry : adapter_registry().entries())
      if (!entry.make()->trains_a_fixed_set()) kinds += (kinds.empty() ? "" : ", ") + entry.name;
    problems.push_back(
        fmt::format("dist.shard: \"{}\" is for adapters that train the same parameters during the whole run, "
                    "not for \"{}\": set dist.shard to \"none\", or adapter.kind to one that is none of {}",
                    dist.shard, adapter_kind, kinds));
  }
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (rewards[i].reference_samples() > 0 && task->environment() != nullptr)
      problems.push_back(
          fmt::format("rewards.{}.transforms: the initial model's answers have no turns to compare "
                      "conversations with; give "
                      "rewards of reference answers as a column (\"reference\": \"column\"), or leave out "
                      "the environment",
                      i));
  }
  check_order(*this, problems);
  task->check_run(*this, problems);
}

namespace {

// As many steps as go so many times through the records.
void resolve_epochs(RunConfig& config) {
  TrainSection& train = config.train;
  const DataSection& data = config.data;
  if (train.epochs) {
    if (data.make.on() && !data.make.count)
      user_error(
          "train.epochs: data.make makes as many problems as the steps draw; give data.make.count, or "
          "train.steps");
    auto records = static_cast<int64_t>(data.train_records(data.data_cache()).size());
    records -= data.held_out(records);
    if (records == 0)
      user_error("train.epochs: there are no records in {}; give train.steps", data.train_field());
    const double draws = *train.epochs * static_cast<double>(records);
    train.steps = std::llround(std::ceil(draws / static_cast<double>(config.task->records_of_step(config))));
    log_info("train.epochs {} of {} records: {} steps", *train.epochs, records, train.steps);
  }
  train.given_steps = train.steps;
  train.epochs.reset();
}

// How many problems are made, and by what seed, stands in the run's config as a number.
void resolve_problems(RunConfig& config) {
  constexpr int64_t kHeldOut = 200;
  ProblemSource &make = config.data.make, &held_out = config.data.make_eval;
  if (make.on() && !make.count) {
    make.count = product("train.steps: records that the run draws",
                         {config.train.steps, config.task->records_of_step(config)});
    if (*make.count > kMostProblems) {
      user_error(
          "data.make.count: left out, but the run would draw {} problems, all of which are in memory; "
          "give a number up to {}, after which they come again",
          *make.count, kMostProblems);
    }
  }
  if (held_out.on() && !held_out.count) held_out.count = kHeldOut;
  for (ProblemSource* source : {&make, &held_out})
    if (source->on() && !source->seed) source->seed = config.seed;
}

}  // namespace

void load_run_config(RunConfig& config, const std::string& path, const std::vector<std::string>& sets,
                     int64_t processes) {
  read_config_file(config, path, sets);
  resolve_run_config(config, "runs/" + fs::path(path).stem().string(), processes);
}

namespace {

// What has a row for each token.
std::vector<std::string> modules_of_tokens(const RunConfig& config) {
  const Heads heads = config.task->heads(config, nullptr, nullptr);
  const ModelConfig shape =
      config.model.path.empty() ? config.model.init.model_config() : model_config(config.model.path, heads);
  if (shape.tied || !heads.causal) return {"embed_tokens"};
  return {"embed_tokens", "lm_head"};
}

}  // namespace

void resolve_run_config(RunConfig& config, const std::string& run, int64_t processes) {
  config.train.given_batch = config.train.batch_size;
  if (config.threads == 0)
    config.threads =
        std::max<int64_t>(1, std::thread::hardware_concurrency() / std::max<int64_t>(1, processes));
  if (config.model.dtype == "auto")
    config.model.dtype = dtype_name(make_precision("auto", config.device).compute);
  if (config.run.empty()) config.run = run;
  if (!config.model.add_tokens.empty()) config.adapter->train_whole(modules_of_tokens(config));
  config.task->resolve(config);
  if (config.task->one_training()) resolve_epochs(config);
  resolve_problems(config);
  if (!config.task->one_training()) return;
  config.optimizer->prepare(config.updates());
  config.schedule->prepare(config.updates());
}

namespace {

// `json` with the members of `more` that it lacks, at any depth, in the order of `more`. A string in the
// place of an object is the tag of a choice, which `more` has written out.
Json with_missing(const Json& json, const Json& more) {
  if (json.is_string() && more.is_object()) return more;
  Json out = json;
  if (json.is_array() && more.is_array() && json.size() == more.size()) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = with_missing(json[i], more[i]);
  } else if (json.is_object() && more.is_object()) {
    out = Json::object();
    for (const auto& [key, value] : more.items())
      out[key] = json.contains(key) ? with_missing(json[key], value) : value;
    for (const auto& [key, value] : json.items())
      if (!out.contains(key)) out[key] = value;
  }
  return out;
}

}  // namespace

Json completed_config(const Json& before, const Registry<Task>& tasks) {
  Json out = before;
  // What is called otherwise since.
  if (out.contains("data") && out["data"].is_object() && out["data"].contains("prompt_column")) {
    Json& data = out["data"];
    if (data["prompt_column"] != "prompt") data["columns"]["prompt"] = data["prompt_column"];
    data.erase("prompt_column");
  }
  try {
    RunConfig config(tasks);
    read_fields(config, out, "config.json", "");
    Json now = dump_fields(config);
    now.erase("run");
    out = with_missing(out, now);
  } catch (const UserError&) {
    // The difference from today's config says what cannot be read.
  }
  return out;
}

}  // namespace temper

#include "train/session.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <csignal>
#include <set>

#include "adapter/new_rows.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "rollout/end_ids.h"
#include "tensor/device.h"
#include "text/new_tokens.h"
#include "train/adapter_start.h"
#include "train/config_paths.h"
#include "train/shared.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;

const at::Tensor& checked(const std::map<std::string, at::Tensor>& loaded, const std::string& name,
                          const at::Tensor& like) {
  const auto it = loaded.find(name);
  if (it == loaded.end() || it->second.sizes() != like.sizes())
    user_error("has no tensor {} of this run's shape", name);
  return it->second;
}

}  // namespace

Session::Session(const RunConfig& run, const RunOptions& options)
    : config(run),
      ranks(options.ranks == nullptr ? alone_ : *options.ranks),
      phases(std::make_unique<PhaseClock>()),
      options_(options),
      shard_(ranks, run.dist.shard == "state") {
  // What rank 0 puts into the data cache the others find.
  {
    const auto span = phases->in(Phase::kData);
    if (ranks.first()) read_data();
    ranks.from_first("");
    if (!ranks.first()) read_data();
  }
  if (!config.rewards.empty()) rewards = std::make_unique<RewardSet>(config.rewards, config.combine);
  if (const EnvironmentOptions* options = config.task->environment()) environment = options->make();
  // Rank 0 makes what the others read.
  if (ranks.first()) {
    open_folder();
    load_text();
  }
  ranks.from_first("");
  if (!ranks.first()) {
    load_text();
    folder_.checkpoints = list_checkpoints(config.run);
  }
  {
    const auto span = phases->in(Phase::kData);
    loss_sets = read_loss_sets(*this);
  }
  load_model();
  tell_of_shard();
  restore();
  progress = std::make_unique<Progress>(*options_.console, config.train.steps, config.task_name, state.step);
}

Session::~Session() = default;

std::unique_ptr<Conversations> Session::conversations(std::vector<Asked> asked, uint64_t seed, uint64_t step,
                                                      bool held_out) const {
  const EnvironmentOptions& options = *config.task->environment();
  return std::make_unique<Conversations>(
      *environment, *encoder, std::move(asked),
      ConversationSettings{options.max_turns, options.turn_tokens, seed, step, held_out,
                           [this] { check_signal_in_share(); }});
}

void Session::open_folder() {
  Json now = dump_fields(config);
  if (!ranks.alone()) now["ranks"] = ranks.world();
  const auto complete = [&](Json before) {
    const int64_t had = before.value("ranks", int64_t{1});
    before.erase("ranks");
    before = completed_config(before, *config.tasks);
    if (!ranks.alone()) before["ranks"] = ranks.world();
    before["dist"]["shard"] = config.dist.shard;  // what is saved does not depend on it
    before["data"]["cache"] = config.data.cache;
    before["data"]["cache_from_mb"] = config.data.cache_from_mb;
    before["data"]["cache_gb"] = config.data.cache_gb;
    if (had != ranks.world()) {
      log_info("{}: goes on with {} ranks, {} until now: the numbers differ by rounding", config.run,
               ranks.world(), had);
      before["threads"] = config.threads;
    }
    return before;
  };
  folder_ = open_run_folder(config.run, std::move(now), config_paths(config), options_.resume,
                            options_.accept_changed_data, complete);
}

void Session::load_model() {
  Precision precision = make_precision(config.model.dtype, config.device);
  precision.quantise = config.model.quant_format();
  if (config.dist.backend == "nccl") ranks.use_nccl();
  Heads heads = config.task->heads(config, &train_records, tokenizer.get());
  heads.seed = static_cast<uint64_t>(config.seed);
  if (config.model.path.empty()) {
    ModelConfig shape = config.model.init.model_config();
    shape.vocab = tokenizer->vocab_size();
    if (tokenizer->eos()) shape.eos_ids = {*tokenizer->eos()};
    shape.bos_id = tokenizer->bos();
    shape.pad_id = heads.pad_id ? heads.pad_id : tokenizer->pad();
    shape.causal = heads.causal;
    shape.scores = heads.scores;
    shape.score_names = heads.score_names;
    model = Model::initialise(shape, precision, static_cast<uint64_t>(config.seed));
  } else {
    model = Model::load(config.model.path, precision, heads);
    begin_new_tokens();
  }
  choose_angles();
  balance_ = config.model.router_aux_loss_coef.value_or(model->config().experts.balance);
  if (config.model.router_aux_loss_coef && model->config().experts.count == 0)
    user_error("model.router_aux_loss_coef: {} is a dense model and has no routers; leave it out",
               config.model.path.empty() ? "model.init" : config.model.path);
  if (precision.quantise.on()) log_info("{}", quantisation_summary(*model));
  if (tokenizer->vocab_size() > model->config().vocab) {
    user_error("{}: the tokenizer has {} tokens, the model's embedding only {}", config.model.path,
               tokenizer->vocab_size(), model->config().vocab);
  }
  end_ids = temper::end_ids(*model, *tokenizer, chat.get());
  adapter = config.adapter->attach(*model, static_cast<uint64_t>(config.seed));
  adapter->set_base_model(config.model.path);
  adapter->set_work_folder(ranks.first() ? config.run : fmt::format("{}/rank-{}", config.run, ranks.rank()));
  make_optimizer();
  health = std::make_unique<Health>(config.health);
}

// What stands in the model's tables for the tokens that the run adds.
void Session::begin_new_tokens() {
  const auto added = new_tokens(config.model.add_tokens, "model.add_tokens");
  if (added.empty()) return;
  std::vector<std::vector<int64_t>> like;
  for (const NewToken& token : added) {
    like.push_back(token.like.empty() ? std::vector<int64_t>() : tokenizer->encode(token.like));
    if (!token.like.empty() && like.back().empty())
      user_error("model.add_tokens: \"{}\": \"like\" has no token", token.text);
  }
  add_token_rows(*model, tokenizer->vocab_size() - static_cast<int64_t>(added.size()), like);
}

// Rotary angles that depend on the length of sequences are chosen once, by a bound of the run's.
void Session::choose_angles() {
  const Rope& rope = model->config().rope;
  const int64_t longest = config.data.max_tokens + config.task->sampling().max_new_tokens;
  model->expect_length(longest);
  if (rope.depends_on_length())
    log_info(
        "rotary angles ({}) for sequences of up to {} tokens (data.max_tokens and max_new_tokens): {} {}",
        rope.type, longest, longest > rope.original_max_positions ? "beyond" : "within",
        rope.original_max_positions);
}

void Session::make_optimizer() {
  shard_.share_out(*adapter, *model);
  parameters_ = active_parameters(*config.optimizer, *adapter);
  optimizer = config.optimizer->make(shard_.owned(parameters_));
}

void Session::tell_of_shard() {
  if (!shard_.on()) return;
  const int64_t all = config.optimizer->make(parameters_)->state_bytes() + shard_.master_bytes(true);
  const int64_t mine = optimizer->state_bytes() + shard_.master_bytes(false);
  log_info(
      "dist.shard: optimizer state and fp32 masters are shared out: rank {} of {} keeps {:.1f} of {:.1f} MB",
      ranks.rank(), ranks.world(), static_cast<double>(mine) / 1e6, static_cast<double>(all) / 1e6);
}

// Damage leaves no trace: what a checkpoint that is passed over has changed is made anew.
void Session::restore() {
  if (!ranks.first()) return restore_as_first();
  const auto taken =
      take_newest(folder_.checkpoints, [&](LoadedCheckpoint loaded, const CheckpointInfo& info) {
        try {
          take_up(std::move(loaded), info.folder);
        } catch (const UserError&) {
          parameters_.clear();
          optimizer.reset();
          adapter.reset();
          model.reset();
          reference_weights.clear();
          load_model();
          throw;
        }
      });
  if (taken) {
    saved_step_ = state.step;
    log_info("resuming {} after step {}", config.run, state.step);
  } else {
    if (!folder_.checkpoints.empty()) {
      if (options_.resume == "must") user_error("{}: no whole checkpoint to resume from", config.run);
      log_warning("{}: no whole checkpoint is left: the run begins anew", config.run);
    }
    adapter->start(adapter_start(*this));
    take_moments();
  }
  log = std::make_unique<MetricsLog>(config.run, state.log, config.samples_logged, state.step);
  ranks.from_first(dump_line({{"step", taken.value_or(-1)}, {"data_changed", folder_.data_changed}}));
  if (folder_.data_changed) forget_records();
}

// The checkpoint that rank 0 has taken, whatever else this rank sees in the folder.
void Session::restore_as_first() {
  const Json taken = parse_json(ranks.from_first(""), "rank 0");
  const int64_t step = taken["step"].get<int64_t>();
  folder_.data_changed = taken["data_changed"].get<bool>();
  if (step < 0) {
    adapter->start(adapter_start(*this));
    take_moments();
  } else {
    const auto all = list_checkpoints(config.run);
    const auto meant =
        std::find_if(all.begin(), all.end(), [&](const CheckpointInfo& c) { return c.step == step; });
    if (meant == all.end())
      user_error("{}: rank {} does not see the checkpoint of step {}; all ranks need one shared run folder",
                 config.run, ranks.rank(), step);
    take_up(read_checkpoint(*meant), meant->folder);
    saved_step_ = state.step;
  }
  log = std::make_unique<MetricsLog>();
  if (folder_.data_changed) forget_records();
}

// What speaks of records that may be others now.
void Session::forget_records() {
  state.leftovers = state.open = Json::array();
  state.replay.clear();
  state.reference_rewards.clear();
  state.reference_scores.clear();
  state.eval_reference_scores.clear();
  state.lengths.clear();
  state.order = Json::object();
  state.history.clear();
}

void Session::take_up(LoadedCheckpoint loaded, const std::string& where) {
  at::NoGradGuard guard;
  if (loaded.state.step > config.train.steps)
    user_error("is of step {}, the run has {}", loaded.state.step, config.train.steps);
  // First the set of what trains, then its values, then the optimizer's state of it.
  adapter->load_state({loaded.state.adapter, std::move(loaded.adapter)}, loaded.state.updates, where);
  make_optimizer();
  for (const auto& [name, tensor] : adapter->trainable()) {
    shard_.target(name, tensor).copy_(checked(loaded.trainable, name, tensor));
    if (!loaded.reference.empty()) {
      const at::Tensor reference = at::empty_like(tensor.detach(), at::kFloat);
      reference_weights.emplace_back(name, reference.copy_(checked(loaded.reference, name, tensor)));
    }
  }
  adapter->refresh();
  optimizer->load_state(shard_.owned(loaded.optimizer));
  health->restore(loaded.state.health, where);
  state = std::move(loaded.state);
}

// The optimizer's state that an earlier run ended with.
void Session::take_moments() {
  if (options_.moments_from.empty()) return;
  const auto all = list_checkpoints(options_.moments_from);
  if (all.empty())
    user_error("{}: has no checkpoint, whose optimizer state this run is to begin with",
               options_.moments_from);
  optimizer->load_state(shard_.owned(read_checkpoint(all.back()).optimizer));
}

ForwardOptions Session::forward_options(bool training, const at::Tensor& routes) const {
  ForwardOptions options;
  options.training = training;
  options.checkpoint_every = training ? config.model.checkpoint_every() : 0;
  if (training && model->config().experts.count > 0) {
    options.balance_gradient = balance_gradient_;
    if (!balance_gradient_.defined()) options.router_counts = &router_counts_;
  }
  options.routes = routes;
  options.replay_routes = config.task->replays_routes();
  return options;
}

void Session::check_signal() {
  if (ranks.alone() && options_.stop != nullptr) stop_for(options_.stop->pending());
}

void Session::check_signal_in_share() const {
  const int signal = options_.stop == nullptr ? 0 : options_.stop->pending();
  if (signal == 0) return;
  throw SignalSeen(signal);
}

void Session::stop_for(int signal) {
  if (signal == 0) return;
  progress->message("stopping: saving first");
  save_checkpoint();
  report({"stopped", fmt::format("signal {} after step {}", signal, state.step)});
  throw Interrupted(signal);
}

void Session::tell_once(const std::string& line, LogLevel level) {
  if (told_.insert(line).second) progress->message(line, level);
}

void Session::begin_step() {
  int signal = options_.stop == nullptr ? 0 : options_.stop->pending();
  const std::string wish = config.run + "/stop";
  if (ranks.first() && fs::exists(wish)) {
    fs::remove(wish);  // once: the run can then be continued
    signal = SIGTERM;
  }
  for (const std::string& theirs : ranks.gather(std::to_string(signal)))
    signal = std::max(signal, std::stoi(theirs));
  stop_for(signal);
  train_records.check();
  step_start_ = Clock::now();
  optimizer_seconds_ = 0;
  phases->rest_is(Phase::kOther);
  progress->begin_step(state.step + 1);
}

double Session::seconds_in_step() const {
  return seconds_since(step_start_);
}

void Session::end_step(MetricsRow row, const std::vector<std::string>& shown, int64_t tokens) {
  ++state.step;
  trained_ = true;
  state.tokens += tokens;
  row.step = state.step;
  row.values.emplace_back("tokens", static_cast<double>(state.tokens));
  if (const auto e = epoch()) row.values.emplace_back("epoch", *e);
  for (const auto& [name, value] : shard_.metrics(*optimizer)) row.values.emplace_back(name, value);
  add_router_figures(row);
  count_rewards(row);
  const double seconds = seconds_in_step();
  row.time.emplace_back("seconds", seconds);
  row.time.emplace_back("optimizer_s", optimizer_seconds_);
  row.time.emplace_back("tokens_per_s", static_cast<double>(tokens) / seconds);
  row.time.emplace_back("memory_gb", static_cast<double>(peak_memory_bytes()) / 1e9);
  if (const int64_t there = peak_device_bytes(device()); there > 0)
    row.time.emplace_back("device_memory_gb", static_cast<double>(there) / 1e9);
  for (const auto& time : phases->take()) row.time.push_back(time);
  log->write(row);
  std::vector<std::pair<std::string, double>> numbers;
  for (const std::string& name : shown) {
    if (const auto value = row.find(name); value && std::isfinite(*value)) numbers.emplace_back(name, *value);
  }
  progress->end_step(numbers, tokens, place_in_data());
  for (const std::string& line : health->advise(row, config.task->advise(row)))
    progress->message(line, LogLevel::kWarning);

  train_records.forget();
  kept_memory.end_step();
  const bool evaluates =
      config.eval.every > 0 && (state.step == config.train.steps || state.step % config.eval.every == 0);
  const int64_t best_before = state.best_step;
  if (evaluates) {
    state.evaluation_due = true;
    evaluate();
  }
  if (out_of_patience())
    progress->message(
        fmt::format("stopping early: the last {} evaluations were no better than that of step {}",
                    config.eval.patience, state.best_step));
  const bool last = done(), best = config.checkpoint.best && state.best_step != best_before;
  const bool saves =
      last || best || (config.checkpoint.every > 0 && state.step % config.checkpoint.every == 0);
  if (saves) save_checkpoint();
  if (saves || evaluates) report();
}

bool Session::out_of_patience() const {
  return config.eval.patience > 0 && state.best && state.step % config.eval.every == 0 &&
         state.step - state.best_step >= config.eval.patience * config.eval.every;
}

bool Session::done() const {
  return state.step >= config.train.steps || out_of_patience();
}

std::optional<double> Session::epoch() const {
  if (!config.task->draws_records() || train_records.empty()) return std::nullopt;
  return static_cast<double>(state.cursor) / static_cast<double>(train_records.size());
}

std::string Session::place_in_data() const {
  const std::string memory = fmt::format("{:.1f} GB", static_cast<double>(peak_memory_bytes()) / 1e9);
  const auto now = epoch();
  if (!now) return memory;
  const double total = *now * static_cast<double>(config.train.steps) / static_cast<double>(state.step);
  return fmt::format("epoch {:.2f}/{:.2f}  {}", *now, total, memory);
}

void Session::report(const ReportStatus& status) {
  if (ranks.first()) write_report(config.run, status);
}

void Session::evaluate_first(HeldOut held_out) {
  held_out_ = std::move(held_out);
  if (config.eval.every > 0 && state.evaluation_due) evaluate();
  state.evaluation_due = false;
  if (state.step == 0 && state.best && config.checkpoint.final_weights == "best") save_checkpoint();
}

// What the rewards counted since it was last asked, on all ranks, if they scored anything.
void Session::count_rewards(MetricsRow& row) {
  if (rewards == nullptr) return;
  std::map<std::string, double> now, since;
  for (const auto& [name, count] : rewards->counters()) now[name] = static_cast<double>(count);
  if (now.empty()) return;
  now[""] = static_cast<double>(rewards->items_scored());  // no reward's
  for (const auto& [name, count] : now) since[name] = count - counted_[name];
  counted_ = now;
  ranks.sum(since);
  if (since[""] == 0) return;
  since.erase("");
  for (const auto& [name, count] : since) row.values.emplace_back(name, count);
}

void Session::evaluate() {
  Evaluation result;
  {
    const auto span = phases->in(Phase::kEvaluation);
    result = evaluate_run(*this, held_out_);
    count_rewards(result.row);
  }
  result.row.time = phases->take();
  log->write(result.row);
  log->write_samples(state.step, "eval", result.samples);
  eval_records.forget();
  if (!result.line.empty()) progress->message(result.line);
  if (result.score && (!state.best || *result.score > *state.best)) {
    state.best = result.score;
    state.best_step = state.step;
  }
  state.evaluation_due = false;
}

std::vector<OptimParameter> active_parameters(const OptimizerOptions& optimizer, Adapter& adapter) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : adapter.active()) names.insert(name);
  auto out = optimizer.parameters(adapter.trainable());
  std::erase_if(out, [&](const OptimParameter& p) { return !names.count(p.name); });
  for (OptimParameter& p : out) p.lr_factor *= adapter.lr_factor(p.name);
  return out;
}

}  // namespace temper

// What every task's loop stands on: the loaded parts of a run, one optimizer update, and what happens around
// a step (metrics, evaluation, checkpoints, signals).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "base/progress.h"
#include "base/signals.h"
#include "data/large/encoded.h"
#include "data/records.h"
#include "dist/ranks.h"
#include "env/conversations.h"
#include "model/model.h"
#include "optim/optimizer.h"
#include "report/model_card.h"
#include "report/report.h"
#include "reward/reward.h"
#include "rollout/engine.h"
#include "run/checkpoint.h"
#include "run/folder.h"
#include "run/health.h"
#include "run/kept_memory.h"
#include "run/metrics.h"
#include "run/phases.h"
#include "run/state.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/evaluation.h"
#include "train/held_out_loss.h"
#include "train/micro_batch.h"
#include "train/shard.h"

namespace temper {

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct RunOptions {
  std::string resume = "auto";       // auto | must | never
  const StopSignal* stop = nullptr;  // asked between steps and during generation
  Console* console = nullptr;
  bool accept_changed_data = false;   // go on with other files than the run was started with
  Ranks* ranks = nullptr;             // the run's processes; null: this one alone
  std::string moments_from = {};      // a run whose optimizer state a new one begins with; empty: none
  bool scores_while_decoding = true;  // false: after it, which gives the same bytes; for tests
};

// A micro-batch's share of an update: the shares of all micro-batches add up to the loss and the metrics.
struct LossShare {
  at::Tensor loss;  // a scalar
  std::map<std::string, double> metrics = {};
};
using LossFunction = std::function<LossShare(const MicroBatch&)>;

struct UpdateOutcome {
  double loss = 0, grad_norm = 0, lr = 0;
  bool skipped = false;
  std::map<std::string, double> metrics;  // the sums of the shares'
};

class Session {
 public:
  // Reads the data, opens the run folder, loads tokenizer and model, attaches the adapter, restores the
  // newest checkpoint. Throws UserError.
  Session(const RunConfig& config, const RunOptions& options);
  ~Session();

  const RunConfig& config;
  // Every rank has the whole of what stands below and takes every step; passes of the model, sampling and
  // scoring are shared out, the optimizer's state where the config says so, and rank 0 alone writes.
  Ranks& ranks;
  RunState state;
  // Where the time goes; whoever does a phase's work enters it.
  std::unique_ptr<PhaseClock> phases;
  KeptMemory kept_memory;
  DataCache data_cache;
  Records train_records, eval_records;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat;  // null: the tokenizer has none and no record needs one
  std::unique_ptr<RecordEncoder> encoder;
  std::string encoding_key;        // a fingerprint of what the encoder depends on
  std::vector<LossSet> loss_sets;  // of eval.losses
  std::unique_ptr<Model> model;
  std::unique_ptr<Model> reference;  // of a full run, once asked for; see reference.h
  NamedTensors reference_weights;    // of a moving reference: what trains, as the reference has it; fp32
  std::unique_ptr<Adapter> adapter;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<RewardSet> rewards;              // null: none configured
  std::unique_ptr<EnvironmentSource> environment;  // null: a completion is one turn
  std::vector<int64_t> end_ids;
  std::vector<std::string> banned;  // texts that evaluations may not generate
  std::unique_ptr<MetricsLog> log;
  std::unique_ptr<Progress> progress;
  std::unique_ptr<Health> health;

  // The other side of conversations with the environment. seed, step: as the decode engine has them.
  std::unique_ptr<Conversations> conversations(std::vector<Asked> asked, uint64_t seed, uint64_t step,
                                               bool held_out) const;
  bool scores_while_decoding() const { return options_.scores_while_decoding; }
  at::Device device() const { return model->precision().device; }
  // routes: of the micro-batch.
  ForwardOptions forward_options(bool training, const at::Tensor& routes = {}) const;

  // One optimizer update. An adapter that asks for losses of its own may call `loss` more than once a
  // micro-batch.
  UpdateOutcome update(const std::vector<MicroBatch>& batches, const LossFunction& loss);

  // A step's sequences as micro-batches of train.micro_batch_tokens on the run's device.
  std::vector<MicroBatch> pack(const std::vector<Sequence>& sequences, bool share_prompts) const;
  // model_logp, on the phase clock.
  LogpResult logp(const at::Tensor& hidden, const Targets& targets, const LogpOptions& options = {}) const;

  // The sums of what `of` gives of each micro-batch, without an update; the ranks share the micro-batches.
  std::map<std::string, double> sums_over(
      const std::vector<MicroBatch>& batches,
      const std::function<std::map<std::string, double>(const MicroBatch&)>& of);

  // Whether the last step is done, or evaluations have become no better for eval.patience of them.
  bool done() const;
  // Before a step's work; throws Interrupted, after saving, when a signal has come, or somebody has put a
  // file "stop" into the run's folder.
  void begin_step();
  // Counts the step and writes its row; `shown` go to the progress line. Then evaluation and checkpoint when
  // due.
  void end_step(MetricsRow row, const std::vector<std::string>& shown, int64_t tokens);
  // The evaluation before the first step, or the one that a signal interrupted. Called once by every loop,
  // with its held-out figures beside the rewards' for this and all later evaluations; none: the rewards'
  // alone.
  void evaluate_first(HeldOut held_out = nullptr);

  // A message that one start of the run says once.
  void tell_once(const std::string& line, LogLevel level = LogLevel::kInfo);

  // For long work inside a step or an evaluation during which nothing of the state changes: saves and throws
  // Interrupted when a signal has come. With several ranks it waits for begin_step(), where all hear of it.
  void check_signal();
  // The same inside of what shared.h shares out: with several ranks it throws SignalSeen, which ends this
  // rank's part and reaches the others with what they gather; all then call stop_for().
  void check_signal_in_share() const;
  // On all ranks at once, and not for 0: saves and throws Interrupted.
  void stop_for(int signal);
  double seconds_in_step() const;

  // final/ (weights or adapter, tokenizer), the last checkpoint, the report; says where the run's time went.
  void finish();

 private:
  void read_data();
  void open_folder();
  void load_text();
  void load_model();
  void begin_new_tokens();
  void choose_angles();
  void make_optimizer();
  void restore();
  void restore_as_first();
  void take_moments();
  void forget_records();
  void take_up(LoadedCheckpoint loaded, const std::string& where);
  void join_gradients(UpdateOutcome& outcome);
  void report(const ReportStatus& status = {});
  bool out_of_patience() const;
  std::optional<double> epoch() const;  // passes over train_records; nothing where something else is drawn
  std::string place_in_data() const;
  void return_to_best();
  CardFacts card_facts(const std::string& folder) const;
  void demand_same_weights();
  void save_checkpoint();
  void save_final();
  void tell_of_shard();
  void evaluate();
  void count_rewards(MetricsRow& row);
  NamedTensors trainable() const;
  void begin_update(const std::vector<MicroBatch>& batches, const LossFunction& loss);
  void balance_routers(const std::vector<MicroBatch>& batches);
  double join_routers();
  void add_router_figures(MetricsRow& row) const;

  RunOptions options_;
  Ranks alone_;
  StateShard shard_;
  std::vector<OptimParameter> parameters_;  // of all ranks
  double balance_ = 0;                      // coefficient of the routers' balance loss
  // Of a mixture's last update, and what its passes are told.
  mutable RouterCounts router_counts_;
  at::Tensor balance_gradient_;
  RunFolder folder_;
  HeldOut held_out_;
  int64_t saved_step_ = -1;
  bool trained_ = false;  // by this process
  std::chrono::steady_clock::time_point step_start_;
  double optimizer_seconds_ = 0;           // of the step's updates
  std::map<std::string, double> counted_;  // by count_rewards, so far
  std::set<std::string> told_;             // by tell_once
};

// What the optimizer updates now: active() of the adapter under the optimizer's name rules, which may speak
// of anything in trainable(). Throws UserError.
std::vector<OptimParameter> active_parameters(const OptimizerOptions& optimizer, Adapter& adapter);

}  // namespace temper

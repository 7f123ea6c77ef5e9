// The sections of a config that runs of every task have. Each lists its fields once; see base/fields.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "data/formats/format.h"
#include "data/large/record_set.h"
#include "data/order/order.h"
#include "data/problems/problem.h"
#include "data/records.h"
#include "model/config.h"
#include "model/precision.h"
#include "rollout/sampler.h"
#include "rollout/speculate/speculation.h"

namespace temper {

struct Task;

// Shapes of a model that starts from random weights, with a tokenizer trained on the run's own data or taken
// from a folder.
struct InitSection : Fields {
  std::string family = "llama";
  std::string tokenizer;  // a folder; empty: trained, with `vocab` tokens
  int64_t vocab = 0, hidden = 256, intermediate = 704, layers = 6, heads = 4, kv_heads = 2,
          max_positions = 1024;
  bool tied = true;
  double rope_theta = 10000.0, norm_eps = 1e-5;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool given() const { return vocab > 0 || !tokenizer.empty(); }
  ModelConfig model_config() const;
};

struct ModelSection : Fields {
  std::string path;  // a Hugging Face folder; empty: init
  std::string dtype = "auto";
  std::string quantise = "none";               // "none", "int8", "nf4"
  bool double_quantisation = true;             // nf4
  std::string checkpointing = "off";           // "off", "all", or "every_2" ... "every_8"
  std::optional<double> router_aux_loss_coef;  // of a mixture of experts; left out: the model's own
  Json add_tokens = Json::array();             // text/new_tokens.h
  InitSection init;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  int64_t checkpoint_every() const;  // 0: off
  QuantFormat quant_format() const;
};

struct DataSection : Fields {
  std::vector<std::string> train, eval;
  double eval_share = 0;          // of the records of `train`, in the place of `eval`
  ProblemSource make, make_eval;  // in their places
  std::string chat_template = "auto";
  RecordFormat format;        // "format", "columns", "tags"
  bool chat_prompts = false;  // a string prompt becomes a user's message
  std::string prefix;         // text before all, such as a control token
  int64_t max_tokens = 1024;
  std::string overlong = "drop", targets = "auto", special_tokens = "auto";
  std::string order_kind = "shuffle";
  std::unique_ptr<OrderOptions> order;
  std::string cache = "auto";
  int64_t cache_from_mb = 16, cache_gb = 50;
  Task* task = nullptr;  // not a field: has fields of its own here
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool has_eval() const { return !eval.empty() || eval_share > 0 || make_eval.on(); }
  // The fields that the records come from, for messages: "data.train" or "data.make", and of held-out ones.
  std::string train_field() const { return make.on() ? "data.make" : "data.train"; }
  std::string eval_field() const {
    return make_eval.on() ? "data.make_eval" : eval_share > 0 ? "data.eval_share" : "data.eval";
  }
  // Of so many records, those that eval_share holds out.
  int64_t held_out(int64_t records) const;
  // Takes them, a random choice of the seed's, out of `train` and gives them, both in the order of the files.
  Records take_held_out(Records& train, uint64_t seed) const;
  // The records of files in the kinds of records.h, by format, columns and tags. Throws UserError.
  std::vector<Record> read(const std::vector<std::string>& files) const;
  // The same, of files of at least cache_from_mb together where they stand.
  Records open(const std::vector<std::string>& files, const DataCache& cache) const;
  DataCache data_cache(DataCache::Watch watch = nullptr) const;
  // The records of files, or made, their columns called as `columns` says. Throws UserError.
  Records train_records(const DataCache& cache) const;
  Records eval_records(const DataCache& cache) const;
  EncodeSettings encoding() const;
  // Of what is drawn in epochs, whatever order the records have: RecordOrder's.
  std::string epochs() const { return order_kind == "sequential" ? "sequential" : "shuffle"; }
  // Problems that were made, their columns called as `columns` says.
  std::vector<Record> called(std::vector<Record> made) const;
  // Makes chats of string prompts where chat_prompts says so.
  void adapt(Records& records) const;
};

// How completions are sampled.
struct RolloutSection : SamplingOptions {
  int64_t group_size = 8, max_batch = 64;
  bool longest_first = true;
  std::string speculation_kind;                     // empty: none
  std::unique_ptr<SpeculationOptions> speculation;  // null: none
  void fields(FieldVisitor& v) override;
};

struct TrainSection : Fields {
  int64_t steps = 100;
  std::optional<int64_t> given_steps;  // steps as given
  std::optional<double> epochs;        // in their place, until the config is resolved
  int64_t batch_size = 16;             // of an optimizer step, in what the task counts
  std::optional<int64_t> given_batch;  // batch_size as given; left out, it is the task's
  int64_t micro_batch_tokens = 4096;
  bool share_prompts = true;
  Task* task = nullptr;  // not a field: has fields of its own here
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

// Stored texts, completions or chats whose loss is a figure of its own.
struct LossFiles : Fields {
  std::string name;
  std::vector<std::string> files;
  void fields(FieldVisitor& v) override;
};

struct EvalSection : Fields {
  int64_t every = 0, samples = 1, limit = 0, max_new_tokens = 0, patience = 0;
  double temperature = 0.0;
  std::vector<LossFiles> losses;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

// The processes of a run.
struct DistSection : Fields {
  std::string backend = "gloo";  // what carries tensors of GPUs
  std::string shard = "none";    // "state": optimizer state and fp32 masters are shared out (train/shard.h)
  void fields(FieldVisitor& v) override;
};

struct CheckpointSection : Fields {
  int64_t every = 50, keep = 2;
  bool best = false;
  std::string final_weights = "last";  // whose weights final/ has: "last", "best"
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

}  // namespace temper

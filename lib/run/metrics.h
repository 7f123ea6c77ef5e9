// What a run writes down: metrics.jsonl, samples.jsonl and TensorBoard events in the run folder, cut back to
// the checkpoint on resume so that no step stands twice.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace temper {

class EventWriter;

using NamedValues = std::vector<std::pair<std::string, double>>;

// One line of metrics.jsonl:
// {"step":3,"split":"train","loss":0.5,...,"nonfinite":["kl"],"time":{"seconds":1.2,...}}. The same run gives
// the same bytes up to "time". Integral values are written without a point, NaN and infinity as null and
// named under "nonfinite"; every finite double reads back as the same double.
//
// Names that the progress line, the report and the health checks know: loss, lr, grad_norm, tokens (so far),
// reward, reward/<name>, reward_std, kl, entropy, clip_low, clip_high, length, truncated, groups_kept,
// advantage_abs, older_tokens (share that earlier weights drew), open_groups, ratio, rollout_gap, approx_kl,
// skipped, null_rewards. With replay: replay_size, replayed_groups, replay_age, replay_reward,
// replay_priority (train/groups/replay.h); the numbers of completions are then those of fresh groups. With
// rollout.diversity: distinct, vendi (eval/diversity.h). A reward's outcomes and counters, <name>/<outcome>
// and <name>/<counter>, are those of the step's completions, or of the evaluation's. Rows of split "eval":
// accuracy or reward, with low, high (95 % interval) and n; loss/<name> and perplexity/<name> of the sets of
// eval.losses; left_out, left_out/<name>, without_pair and prompts_left_out count what of the held-out data
// was not used. A mean of nothing is not there.
struct MetricsRow {
  int64_t step = 0;             // 1-based; 0: before the first step
  std::string split = "train";  // "train", "eval"
  NamedValues values;           // written in this order; a name that stands twice throws std::logic_error
  NamedValues time;  // whatever differs from run to run: seconds (of this step), optimizer_s, tokens_per_s,
                     // rollout_s, scoring_s (of rollout_s, what scoring took beyond decoding), train_s,
                     // memory_gb, phase/<name> (run/phases.h: since the row before, of whatever split)
  std::optional<double> find(const std::string& name) const;  // in values, then in time
};

// One line of samples.jsonl.
struct SampleRow {
  std::string prompt, completion;
  // By part, unweighted; null: could not tell.
  std::vector<std::pair<std::string, std::optional<double>>> rewards;
  // Of the parts that have transforms, what came out of them.
  std::vector<std::pair<std::string, std::optional<double>>> transformed;
  // What the parts have to say beside their numbers, of those that say something.
  std::vector<std::pair<std::string, std::string>> reward_texts, reward_outcomes;
  void add_words(const std::string& part, const std::string& text, const std::string& outcome);
  std::optional<double> reward;               // combined
  std::optional<double> advantage;            // train only
  std::string finish;                         // "end", "length", "stop"
  int64_t tokens = 0;                         // of the completion
  std::optional<double> logp_mean, logp_min;  // per token, of the distribution sampled
  Json messages = nullptr;                    // of a conversation: those behind the prompt, of both sides
  int64_t step = 0;                           // filled by write_samples and read_samples
  std::string split = "train";                // likewise
};

// How far the files had got; a checkpoint keeps it.
struct LogPosition {
  uint64_t metrics_bytes = 0, samples_bytes = 0, events_bytes = 0;
  Json to_json() const;
  static LogPosition from_json(const Json& json, const std::string& where);  // throws UserError
};

class MetricsLog {
 public:
  static constexpr const char* kMetricsFile = "metrics.jsonl";
  static constexpr const char* kSamplesFile = "samples.jsonl";
  static constexpr const char* kEventsFile = "events.out.tfevents.temper";

  // Opens the files of `run_folder` (which exists) and cuts them to `from`, where they were after `step`; the
  // default starts them anew. A file that is shorter, or gone, goes on with the rows up to `step` that it
  // still has, the events anew, with a warning. samples_per_step: at most this many samples are kept from one
  // write_samples call.
  explicit MetricsLog(const std::string& run_folder, const LogPosition& from = {},
                      int64_t samples_per_step = 16, int64_t step = 0);
  // Writes nothing.
  MetricsLog();
  ~MetricsLog();

  // TensorBoard tags: "<split>/<name>" and "<split>_time/<name>".
  void write(const MetricsRow& row);
  // The first samples_per_step of `samples`, in order.
  void write_samples(int64_t step, const std::string& split, const std::vector<SampleRow>& samples);
  // Text for TensorBoard only, e.g. the config.
  void write_text(int64_t step, const std::string& tag, const std::string& text);

  // Syncs the files to the disk and says how far they are. Call it when a checkpoint is written.
  LogPosition sync();

 private:
  struct Files;
  std::unique_ptr<Files> files_;  // null: nowhere
  int64_t samples_per_step_ = 0;
};

Json to_json(const MetricsRow& row);

// The rows of a metrics.jsonl or samples.jsonl; nulls become NaN in `values`. A torn last line is left out;
// any other bad line throws UserError with its number. A file that does not exist has no rows.
std::vector<MetricsRow> read_metrics(const std::string& path);
// split: only rows of this one, "": all.
std::vector<SampleRow> read_samples(const std::string& path, const std::string& split = "");

}  // namespace temper

// What a session writes: checkpoints and final/.
#include <ATen/ATen.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/output.h"
#include "model/generation.h"
#include "report/model_card.h"
#include "train/config_paths.h"
#include "train/session.h"

namespace temper {

NamedTensors Session::trainable() const {
  NamedTensors out;
  for (const auto& [name, tensor] : adapter->trainable()) out.emplace_back(name, tensor.detach());
  return out;
}

// The numbers of a step are compared at each step, the weights where they are kept.
void Session::demand_same_weights() {
  if (ranks.alone()) return;
  Fingerprint print;
  for (const auto& [name, tensor] : shard_.on() ? shard_.everywhere() : trainable()) {
    const at::Tensor bytes = tensor.cpu().contiguous();
    print.add(bytes.const_data_ptr(), bytes.nbytes());
  }
  ranks.demand_same(print.hex(), fmt::format("weights after step {}", state.step));
}

void Session::save_checkpoint() {
  if (saved_step_ == state.step) return;
  const auto span = phases->in(Phase::kCheckpoint);
  demand_same_weights();
  const GatheredTensors weights = shard_.gather(trainable()), moments = shard_.gather(optimizer->state());
  if (!ranks.first()) {
    shard_.hand_over(weights);
    shard_.hand_over(moments);
    saved_step_ = state.step;
    return;
  }
  state.log = log->sync();
  state.health = health->state();
  AdapterState of_adapter = adapter->state();
  state.adapter = std::move(of_adapter.json);
  write_history(config.run, state.history);
  write_checkpoint(config.run, state, shard_.on_first(weights), shard_.on_first(moments), reference_weights,
                   of_adapter.tensors);
  saved_step_ = state.step;
  prune_checkpoints(config.run, config.checkpoint.keep,
                    config.checkpoint.best && state.best ? std::optional(state.best_step) : std::nullopt);
  if (folder_.data_changed) {  // no earlier: the state that was saved until now is of the files of before
    accept_files(config.run, config_paths(config));
    folder_.data_changed = false;
  }
}

// The weights of the best evaluation's checkpoint in the place of the last step's.
void Session::return_to_best() {
  if (!state.best || state.best_step == state.step) return;
  for (const auto& checkpoint : list_checkpoints(config.run)) {
    if (checkpoint.step != state.best_step) continue;
    progress->message(
        fmt::format("final/ has the weights of step {}, the best evaluation's", state.best_step));
    return take_up(read_checkpoint(checkpoint), checkpoint.folder);
  }
  user_error("{}: the checkpoint of the best evaluation, step {}, is not there any more", config.run,
             state.best_step);
}

// Of a folder that the adapter has written.
CardFacts Session::card_facts(const std::string& folder) const {
  CardFacts out;
  out.method = config.task->method();
  const std::string written = folder + "/adapter_config.json";
  out.adapter = fs::exists(written);
  out.peft = out.adapter && read_json_file(written).contains("peft_type");
  if (!model->config().causal) out.scores = "higher for better texts";
  return out;
}

void Session::finish() {
  if (config.checkpoint.final_weights == "best") return_to_best();
  if (!ranks.first()) return;
  save_final();
  report({"finished", ""});
  const auto rows = read_metrics(config.run + "/" + MetricsLog::kMetricsFile);
  if (const std::string line = phase_line(phase_seconds(rows, phases->take())); !line.empty())
    progress->message(line);
}

void Session::save_final() {
  const auto span = phases->in(Phase::kCheckpoint);
  const std::string whole = config.run + "/final";
  bool done = !trained_;
  try {
    if (done) check_content(whole, read_done(whole));
  } catch (const UserError&) {
    done = false;
  }
  if (!done) {
    // Under another name first: a final/ that is there is whole, for every program that reads it.
    TemporaryFolder folder(whole);
    adapter->save(folder.path(), model->precision().compute);
    tokenizer->save(folder.path());
    write_file_atomic(folder.path() + "/README.md", model_card(config.run, card_facts(folder.path())));
    if (model->config().causal) write_end_ids(folder.path(), config.model.path, end_ids);
    write_done(folder.path(), state.step);
    folder.replace();
  }
}

}  // namespace temper

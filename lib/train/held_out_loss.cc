#include "train/held_out_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "train/session.h"

namespace temper {

bool has_target(const Example& e) {
  return !e.ids.empty() && std::find(e.target.begin() + 1, e.target.end(), true) != e.target.end();
}

std::vector<MicroBatch> whole_batches(const std::vector<Example>& examples, int64_t max_tokens,
                                      at::Device device) {
  std::vector<Sequence> sequences;
  for (const Example& e : examples)
    sequences.push_back(whole_sequence(e, static_cast<int64_t>(sequences.size())));
  return cut_into_micro_batches(sequences, max_tokens, false, device);
}

std::vector<RecordLoss> record_losses(Model& model, const MicroBatch& batch) {
  const at::NoGradGuard guard;
  const at::Tensor logp = model_logp(model, batch.tokens, batch.targets).logp.cpu().to(at::kDouble);
  const at::Tensor of = batch.targets.sequence.cpu();
  std::vector<RecordLoss> out(static_cast<size_t>(batch.targets.sequences));
  for (int64_t m = 0; m < logp.size(0); ++m) {
    RecordLoss& record = out[static_cast<size_t>(of.const_data_ptr<int64_t>()[m])];
    record.nll -= logp.const_data_ptr<double>()[m];
    ++record.tokens;
  }
  return out;
}

std::optional<double> held_out_loss(Session& s, const std::vector<Example>& examples) {
  const auto batches = whole_batches(examples, s.config.train.micro_batch_tokens, s.device());
  auto sums = s.sums_over(batches, [&](const MicroBatch& batch) {
    std::map<std::string, double> out;
    for (const RecordLoss& record : record_losses(*s.model, batch)) {
      out["nll"] += record.nll;
      out["targets"] += static_cast<double>(record.tokens);
    }
    return out;
  });
  if (sums["targets"] == 0) return std::nullopt;
  return sums["nll"] / sums["targets"];
}

std::vector<LossSet> read_loss_sets(const Session& s) {
  const RunConfig& c = s.config;
  std::vector<LossSet> out;
  for (const LossFiles& entry : c.eval.losses) {
    LossSet set{entry.name, c.data.open(entry.files, s.data_cache), {}};
    if (c.eval.limit > 0) set.records.resize(static_cast<size_t>(c.eval.limit));
    c.data.adapt(set.records);
    set.examples = encode_examples(s, set.records);
    const std::vector<Example> examples = set.examples.examples.all();
    if (std::none_of(examples.begin(), examples.end(), has_target)) {
      user_error(
          "eval.losses: {}: none of the {} records of {} has a target within max_tokens {}; raise "
          "data.max_tokens",
          entry.name, set.records.size(), entry.files.front(), c.data.max_tokens);
    }
    out.push_back(std::move(set));
  }
  return out;
}

void evaluate_loss_sets(Session& s, const std::string& when, Evaluation& out) {
  double sum = 0;
  std::string said;
  for (const LossSet& set : s.loss_sets) {
    const double loss = held_out_loss(s, set.examples.examples.all()).value();
    out.row.values.emplace_back("loss/" + set.name, loss);
    out.row.values.emplace_back("perplexity/" + set.name, std::exp(loss));
    const auto all = static_cast<int64_t>(set.records.size());
    leave_out(s, out, "left_out/" + set.name, all - static_cast<int64_t>(set.examples.examples.size()), all,
              "records of \"" + set.name + "\"");
    said += fmt::format("{} loss/{} {:.4f}", said.empty() ? "" : ",", set.name, loss);
    sum += loss;
  }
  if (said.empty()) return;
  out.line += (out.line.empty() ? when + ":" : ";") + said;
  if (!s.config.data.has_eval()) out.score = -sum / static_cast<double>(s.loss_sets.size());
}

}  // namespace temper

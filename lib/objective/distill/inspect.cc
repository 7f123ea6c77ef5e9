#include "base/error.h"
#include "objective/distill/distill.h"
#include "objective/inspect_parts.h"

namespace temper::objective {
namespace {

// The policy gradient of a student's own samples; its exact single-step part needs logits, which are not
// given.
Json evaluate_minillm(const MiniLlmOptions& options, const Json& input) {
  const Columns columns = sequence_columns(input, {}, {"logp", "logp_teacher"});
  columns.demand("logp_teacher", "objective minillm");
  const at::Tensor logp = columns.tokens("logp").requires_grad_();
  if (logp.numel() == 0) user_error("input: no sequence has a token");
  const at::Tensor advantage =
      options.advantage(logp.detach(), columns.tokens("logp_teacher"), columns.token_sequence());
  return inspection(columns, -(advantage * logp).mean(), logp, {{"advantage", advantage.mean()}});
}

}  // namespace

std::vector<std::string> distillation_inputs(const std::string& name) {
  const DistillSource source = distill_registry().find(name)->make()->source();
  if (source == DistillSource::kOwnSamples) return {"logp", "logp_teacher"};
  if (source == DistillSource::kCache)
    return {"student", "teacher (shares of the drawn tokens)", "target (with ce_weight)"};
  return {"student", "teacher", "target (with ce_weight)"};
}

Json evaluate_distillation(const std::string& name, const Json& input, const Json& overrides) {
  auto options = distill_registry().find(name)->make();
  read_fields(*options, overrides, "objective " + name, ".");
  if (const auto* minillm = dynamic_cast<const MiniLlmOptions*>(options.get()))
    return evaluate_minillm(*minillm, input);
  check_input_keys(input, "sequences", {});
  const bool with_target = options->ce_weight > 0;
  std::vector<double> student, teacher;
  std::vector<int64_t> target, lengths;
  size_t vocabulary = 0;
  const auto append = [&](const Json& sequence, const std::string& where, const char* key, size_t rows,
                          std::vector<double>& into) {
    if (!sequence.contains(key) || !sequence[key].is_array())
      user_error("{}: \"{}\" is missing; expected rows of logits", where, key);
    if (sequence[key].size() != rows)
      user_error("{}.{}: {} rows, but student has {}", where, key, sequence[key].size(), rows);
    for (size_t t = 0; t < rows; ++t) {
      const Json& row = sequence[key][t];
      if (vocabulary == 0) vocabulary = row.size();
      if (!row.is_array() || row.empty() || row.size() != vocabulary) {
        user_error("{}.{}.{}: expected {} logits, as in the first row", where, key, t, vocabulary);
      }
      for (size_t v = 0; v < vocabulary; ++v)
        into.push_back(finite_number(row[v], fmt::format("{}.{}.{}.{}", where, key, t, v)));
    }
  };
  for (size_t i = 0; i < input["sequences"].size(); ++i) {
    const Json& sequence = input["sequences"][i];
    const std::string where = fmt::format("sequences.{}", i);
    if (!sequence.is_object()) user_error("{}: expected an object", where);
    for (const auto& [key, value] : sequence.items()) {
      if (key != "student" && key != "teacher" && key != "target") {
        user_error("{}: unknown key \"{}\"; known here: student, teacher, target", where, key);
      }
    }
    const size_t rows =
        sequence.contains("student") && sequence["student"].is_array() ? sequence["student"].size() : 0;
    append(sequence, where, "student", rows, student);
    append(sequence, where, "teacher", rows, teacher);
    lengths.push_back(static_cast<int64_t>(rows));
    if (!with_target) continue;
    if (!sequence.contains("target") || !sequence["target"].is_array() || sequence["target"].size() != rows) {
      user_error("{}: \"target\" needs one token id for each row of student, as ce_weight is above 0", where);
    }
    for (const Json& id : sequence["target"]) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocabulary)
        user_error("{}.target: {} is not a token id below {}", where, id.dump(), vocabulary);
      target.push_back(id.get<int64_t>());
    }
  }
  if (vocabulary == 0) user_error("input: no sequence has a token");
  const int64_t width = static_cast<int64_t>(vocabulary);
  const at::Tensor s = at::tensor(student, at::kDouble).reshape({-1, width}).requires_grad_();
  const at::Tensor t = at::tensor(teacher, at::kDouble).reshape({-1, width});
  const at::Tensor tokens = with_target ? at::tensor(target, at::kLong) : at::Tensor();
  const at::Tensor loss = options->source() == DistillSource::kCache
                              ? options
                                    ->combine(sampled_cross_entropy(at::log_softmax(s, -1), t),
                                              with_target ? nll_rows(s, tokens) : at::Tensor())
                                    .mean()
                              : (*options)(s, t, tokens).mean();
  const Json rows = rows_of(gradient_of(loss, s));
  Json out, gradient = Json::array();
  size_t next = 0;
  for (const int64_t length : lengths) {
    Json sequence = Json::array();
    for (int64_t i = 0; i < length; ++i) sequence.push_back(rows[next++]);
    gradient.push_back(std::move(sequence));
  }
  out["loss"] = loss.item<double>();
  out["grad"]["student"] = std::move(gradient);
  out["metrics"] = Json::object();
  return out;
}

}  // namespace temper::objective

#include "task/rl/stored_rollouts.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "data/groups.h"
#include "task/rl/config.h"
#include "train/config.h"
#include "train/logp_file.h"
#include "train/reference.h"
#include "train/session.h"

namespace temper {
namespace {

std::vector<int64_t> ids_of(const Record& record, const char* column) {
  const Json& j = record.json[column];
  const auto integer = [](const Json& id) { return id.is_number_integer(); };
  if (!j.is_array() || !std::all_of(j.begin(), j.end(), integer))
    user_error("{}: {}: expected a list of token ids", record.where(), column);
  return j.get<std::vector<int64_t>>();
}

std::optional<double> reward_of(const Record& record) {
  if (!record.json.contains("reward")) {
    user_error(
        "{}: a scored response needs \"reward\", a number or null, beside \"prompt\" and \"completion\"; a "
        "group's \"completions\" need \"rewards\"",
        record.where());
  }
  return answer_reward(record);
}

std::vector<float> logprobs_of(const Record& record, size_t tokens) {
  const Json& j = record.json;
  if (!has_column(j, "logprobs")) return {};
  const Json& list = j["logprobs"];
  if (!list.is_array() || list.size() != tokens) {
    user_error(
        "{}: logprobs: expected {} numbers, one a token of the completion, found {}; give the tokens "
        "themselves as \"completion_ids\", or leave logprobs out",
        record.where(), tokens, list.is_array() ? std::to_string(list.size()) : list.type_name());
  }
  std::vector<float> out;
  for (size_t t = 0; t < list.size(); ++t) {
    const double value = list[t].is_number() ? list[t].get<double>() : std::nan("");
    // Rounding may put the log-prob of a certain token a little above 0.
    if (!std::isfinite(value) || value > 1e-3) {
      user_error("{}: logprobs.{}: expected a finite log-prob, at most 0, found {}", record.where(), t,
                 dump_line(list[t]).substr(0, 40));
    }
    out.push_back(static_cast<float>(value));
  }
  return out;
}

// The temperature is part of what a log-prob means; another one would bias every ratio.
void check_temperature(const Record& record, double wanted) {
  const Json& j = record.json;
  if (!has_column(j, "temperature") || !has_column(j, "logprobs")) return;
  if (!j["temperature"].is_number() || std::abs(j["temperature"].get<double>() - wanted) > 1e-9) {
    user_error(
        "{}: temperature: the log-probs are of temperature {}, the run's rollout.temperature is {}; make "
        "them equal",
        record.where(), dump_line(j["temperature"]).substr(0, 20), wanted);
  }
}

// Of a conversation, the policy's turns, [begin, end) of the completion's tokens; else nothing.
std::vector<Turn> recorded_turns(const Record& record, size_t tokens) {
  if (!has_column(record.json, "turns")) return {};
  const auto wrong = [&] {
    user_error(
        "{}: turns: expected [[begin, end], ...] within the {} tokens of \"completion_ids\", in order, found "
        "{}",
        record.where(), tokens, dump_line(record.json["turns"]).substr(0, 80));
  };
  if (!has_column(record.json, "completion_ids")) {
    user_error("{}: turns: they are places in \"completion_ids\", which the record lacks", record.where());
  }
  if (!record.json["turns"].is_array() || record.json["turns"].empty()) wrong();
  std::vector<Turn> out;
  int64_t at = 0;
  for (const Json& turn : record.json["turns"]) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_number_integer() || !turn[1].is_number_integer())
      wrong();
    out.push_back({turn[0], turn[1]});
    if (out.back().begin < at || out.back().end < out.back().begin) wrong();
    at = out.back().end;
  }
  if (at > static_cast<int64_t>(tokens)) wrong();
  return out;
}

// Prompt and completion as tokens; nothing when longer than max_tokens.
Answer tokens_of(const Session& s, const Record& record) {
  Answer out;
  if (has_column(record.json, "completion_ids")) {
    out.prompt =
        has_column(record.json, "prompt_ids") ? ids_of(record, "prompt_ids") : s.encoder->prompt(record);
    out.completion = ids_of(record, "completion_ids");
    for (const auto* ids : {&out.prompt, &out.completion}) {
      for (const int64_t id : *ids) {
        if (id < 0 || id >= s.model->config().vocab)
          user_error("{}: id {} is outside the model's vocabulary of {}", record.where(), id,
                     s.model->config().vocab);
      }
    }
  } else {
    out = s.encoder->answer(record);
  }
  const auto total = static_cast<int64_t>(out.prompt.size() + out.completion.size());
  return total > s.config.data.max_tokens ? Answer() : out;
}

// All that the log-probs of these sequences depend on.
std::string key_of(const Session& s, const RlTask& task, const std::vector<Sequence>& sequences) {
  const RunConfig& c = s.config;
  Fingerprint f;
  f.add(task.offline.behaviour.empty() ? start_fingerprint(c) : folder_fingerprint(task.offline.behaviour));
  f.add(c.model.dtype).add(c.device).add(c.threads).add(c.train.micro_batch_tokens);
  f.add(c.train.share_prompts ? 1 : 0).add(fmt::format("{}", task.rollout.temperature));
  for (const Sequence& sequence : sequences) {
    for (const auto* ids : {sequence.prompt, sequence.completion})
      f.add(ids->data(), ids->size() * sizeof(int64_t));
    for (size_t t = 0; sequence.target != nullptr && t < sequence.target->size(); ++t)
      f.add((*sequence.target)[t] ? 1 : 0);
  }
  return f.hex();
}

// Log-probs of the responses that came without.
void fill_missing(Session& s, const RlTask& task, std::vector<RolloutGroup>& groups) {
  std::vector<Rollout*> open;
  std::vector<Sequence> sequences;
  std::vector<std::vector<bool>> targets;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (Rollout& r : groups[g].rollouts) {
      if (!r.logp_old.empty() || r.ids.empty()) continue;
      open.push_back(&r);
      targets.push_back(r.target());
      sequences.push_back({&groups[g].prompt, &r.ids, nullptr, static_cast<int64_t>(g)});
    }
  }
  if (open.empty()) return;
  int64_t count = 0;
  for (size_t i = 0; i < open.size(); ++i) {
    if (!targets[i].empty()) sequences[i].target = &targets[i];
    count += open[i]->tokens();
  }
  const std::string& folder = task.offline.behaviour;
  const LogpFile file(s, "behaviour", key_of(s, task, sequences));
  at::Tensor logp = file.read(count);
  if (!logp.defined()) {
    s.progress->message(fmt::format("computing the log-probs of {} stored responses under {}", open.size(),
                                    folder.empty() ? "the initial model" : folder));
    if (folder.empty()) {
      logp = reference_logp(s, sequences);
    } else {
      Precision precision = s.model->precision();
      precision.quantise = {};  // it is the run's own base that model.quantise is about
      const auto behaviour = Model::load(folder, precision);
      behaviour->expect_length(s.model->expected_length());
      if (behaviour->config().vocab != s.model->config().vocab) {
        user_error("offline.behaviour: {} has a vocabulary of {} tokens, the run's model {}", folder,
                   behaviour->config().vocab, s.model->config().vocab);
      }
      logp = logp_of(s, *behaviour, sequences);
    }
    logp = logp.cpu().contiguous();
    file.write(logp);
  }
  const float* values = logp.const_data_ptr<float>();
  for (Rollout* r : open) {
    r->logp_old.assign(values, values + r->tokens());
    values += r->tokens();
  }
}

}  // namespace

std::vector<RolloutGroup> read_stored_rollouts(Session& s, const RlTask& task) {
  std::vector<RolloutGroup> groups;
  std::map<std::vector<int64_t>, size_t> open;  // by prompt, the group that still takes responses
  int64_t overlong = 0;
  Records records = unpacked(s.config.data.read(task.offline.files));
  s.config.data.adapt(records);
  for (const Record& record : records) {
    check_temperature(record, task.rollout.temperature);
    const std::optional<double> reward = reward_of(record);
    Answer answer = tokens_of(s, record);
    if (answer.prompt.empty()) {
      ++overlong;
      continue;
    }
    auto [it, is_new] = open.try_emplace(answer.prompt, groups.size());
    if (!is_new && static_cast<int64_t>(groups[it->second].rollouts.size()) == task.rollout.group_size) {
      it->second = groups.size();
      is_new = true;
    }
    if (is_new) {
      RolloutGroup g;
      g.draw = g.record = static_cast<int64_t>(groups.size());
      g.prompt = answer.prompt;
      g.prompt_text = s.tokenizer->decode(answer.prompt, true);
      g.stored = true;
      groups.push_back(std::move(g));
    }
    Rollout r;
    r.turns = recorded_turns(record, answer.completion.size());
    r.ids = std::move(answer.completion);
    r.logp_old = logprobs_of(record, static_cast<size_t>(r.tokens()));
    r.reward = reward;
    r.text = s.tokenizer->decode(r.ids, false);
    r.finish = kStored;
    groups[it->second].rollouts.push_back(std::move(r));
  }
  if (groups.empty())
    user_error("offline.files: no response is within data.max_tokens {}", s.config.data.max_tokens);
  if (overlong > 0) {
    s.progress->message(fmt::format("{} of {} stored responses are longer than max_tokens {} and left out",
                                    overlong, records.size(), s.config.data.max_tokens));
  }
  fill_missing(s, task, groups);
  for (RolloutGroup& g : groups) {
    for (Rollout& r : g.rollouts) r.logp_rollout = r.logp_old;
  }
  return groups;
}

}  // namespace temper

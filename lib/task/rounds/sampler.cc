#include "task/rounds/sampler.h"

#include "base/error.h"
#include "base/log.h"
#include "env/conversations.h"
#include "env/introduce.h"
#include "reward/references.h"
#include "rollout/constrained.h"
#include "rollout/end_ids.h"
#include "task/rounds/config.h"
#include "train/shared.h"

namespace temper {

PhaseSampler::PhaseSampler(const PhaseWork& work, const std::string& model, const std::string& prefix,
                           std::vector<Record>& records)
    : work_(work) {
  const RunConfig& c = work.config;
  tokenizer_ = Tokenizer::load(model);
  if (c.data.chat_template != "auto" || !tokenizer_->chat_template().empty())
    chat_ = std::make_unique<ChatTemplate>(resolve_template(*tokenizer_, c.data.chat_template));
  EncodeSettings settings = c.data.encoding();
  settings.prefix = prefix + settings.prefix;
  if (const EnvironmentOptions* options = work.task.environment()) {
    environment_ = options->make();
    introduce(*environment_, *tokenizer_, chat_.get(), settings, {&records});
  }
  encoder_ = std::make_unique<RecordEncoder>(*tokenizer_, chat_.get(), std::move(settings));
  Precision precision = make_precision(c.model.dtype, c.device);
  precision.quantise = c.model.quant_format();
  model_ = Model::load(model, precision);
  end_ids_ = temper::end_ids(*model_, *tokenizer_, chat_.get());
}

std::vector<EvalPrompt> PhaseSampler::prompts(std::vector<Record>& records, const RewardSet* rewards,
                                              uint64_t seed, std::vector<Record>* beside) {
  const size_t all = records.size();
  std::vector<std::vector<int64_t>> ids;
  for (size_t i = 0; i < all; ++i) {
    std::vector<int64_t> prompt = encoder_->prompt(records[i]);
    if (prompt.empty()) continue;
    const size_t place = ids.size();
    if (place != i) {
      records[place] = std::move(records[i]);
      if (beside != nullptr) (*beside)[place] = std::move((*beside)[i]);
    }
    ids.push_back(std::move(prompt));
  }
  records.resize(ids.size());
  if (beside != nullptr) beside->resize(ids.size());
  if (records.empty())
    user_error("{}: none of {} prompts is within data.max_tokens {}", work_.where(), all,
               work_.config.data.max_tokens);
  if (records.size() < all)
    work_.say(fmt::format("{}: {} of {} prompts are longer than max_tokens {} and left out", work_.where(),
                          all - records.size(), all, work_.config.data.max_tokens),
              LogLevel::kWarning);
  if (environment_ != nullptr) {
    if (const std::string line = check_records(*environment_, records, work_.where()); !line.empty())
      work_.say(line, LogLevel::kWarning);
    for (size_t i = 0; environment_->opens() && i < records.size(); ++i) {
      records[i] = *opened_record(*environment_, records[i], seed, i);
      ids[i] = encoder_->prompt(records[i]);
      if (ids[i].empty())
        user_error("{}: with what the environment opens the conversation with, the prompt is too long",
                   records[i].where());
    }
  }
  if (rewards != nullptr) {
    for (const std::string& line : check_references(*rewards, records, work_.where()))
      work_.say(line, LogLevel::kWarning);
  }
  std::vector<EvalPrompt> out;
  for (size_t i = 0; i < records.size(); ++i)
    out.push_back({std::move(ids[i]), encoder_->prompt_text(records[i]), &records[i].json});
  return out;
}

std::vector<std::vector<Completion>> PhaseSampler::sample(const std::vector<Record>& records,
                                                          const std::vector<EvalPrompt>& prompts,
                                                          const SampleOptions& o) {
  EngineOptions engine;
  engine.max_batch = work_.task.max_batch;
  engine.seed = o.seed;
  engine.end_ids = end_ids_;
  engine.exact_weights = true;
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    requests.push_back({prompts[i].ids, o.samples, o.first + i});
    requests.back().constraint = record_constraint(o.sampling, records[i].json, records[i].where());
  }
  const auto generated = [&](const std::vector<GenerateRequest>& mine) {
    std::unique_ptr<Conversations> conversations;
    if (environment_ != nullptr) {
      const EnvironmentOptions& options = *work_.task.environment();
      std::vector<Asked> asked;
      for (const GenerateRequest& r : mine)
        asked.push_back(
            {{std::shared_ptr<const Record>(), &records.at(r.stream_index - o.first)}, r.stream_index});
      conversations = std::make_unique<Conversations>(
          *environment_, *encoder_, std::move(asked),
          ConversationSettings{options.max_turns, options.turn_tokens, o.seed, 0, o.held_out,
                               [this] { work_.check_signal(); }});
      engine.respondent = conversations.get();
    }
    return generate(*model_, *tokenizer_, mine, o.sampling, engine,
                    [&](const EngineProgress&) { work_.check_signal(); });
  };
  return shared_completions(work_.ranks, requests, generated, [&](int signal) { work_.stop_for(signal); });
}

std::vector<ScoredItem> PhaseSampler::score(RewardSet& rewards, const std::vector<RewardItem>& items) {
  const auto scored = [&](const std::vector<RewardItem>& mine) {
    return rewards.parts(mine, [&] { work_.check_signal(); });
  };
  std::vector<ScoredItem> out =
      shared_scores(work_.ranks, items, scored, [&](int signal) { work_.stop_for(signal); });
  rewards.settle(items, out);
  return out;
}

}  // namespace temper

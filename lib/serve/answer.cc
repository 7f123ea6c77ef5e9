#include "serve/answer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "base/error.h"
#include "serve/answer_text.h"
#include "serve/api_error.h"
#include "serve/request_reader.h"

namespace temper {
namespace {

// How long is waited for a token before it is looked whether who asked is still there.
constexpr std::chrono::milliseconds kPatience{100};

// One sample of an answer.
struct Sample {
  explicit Sample(const AnswerRules& rules) : text(rules) {}
  AnswerText text;
  std::vector<SpokenToken> tokens;  // not told yet
  std::optional<Completion> completion;
};

class ServiceReply : public Reply {
 public:
  struct Asked {
    std::unique_ptr<Answering> answering;
    int64_t prompt_tokens;
  };
  ServiceReply(ReplyHead head, AnswerRules rules, const CommonRequest& request, std::vector<Asked> asked,
               const TokenSpelling& spelling)
      : head_(std::move(head)),
        rules_(std::move(rules)),
        request_(request),
        asked_(std::move(asked)),
        spelling_(spelling) {
    for (size_t i = 0; i < asked_.size() * static_cast<size_t>(request_.samples); ++i)
      samples_.push_back(std::make_unique<Sample>(rules_));
  }

  bool streams() const override { return request_.stream; }
  int64_t tokens() const override { return decoded_; }

  Json whole(const Gone& gone) override {
    Json choices = Json::array();
    const bool there = follow(
        gone, [](size_t) { return true; }, [&](size_t) { return true; });
    if (!there) return nullptr;
    for (size_t i = 0; i < samples_.size(); ++i) choices.push_back(choice(i));
    return whole_reply(head_, std::move(choices), usage_);
  }

  void stream(const Gone& gone, const std::function<bool(const std::string&)>& write) override try {
    const auto send = [&](Json one) {
      return write(event_text(reply_piece(head_, Json::array({std::move(one)}), request_.include_usage)));
    };
    for (size_t i = 0; chat() && i < samples_.size(); ++i) {
      if (!send(chat_piece(index(i), {{"role", "assistant"}, {"content", ""}}, nullptr, ""))) return;
    }
    const bool there = follow(
        gone, [&](size_t i) { return delta_.empty() || send(piece(i, delta_)); },
        [&](size_t i) { return send_end(i, send); });
    if (!there) return;
    if (request_.include_usage && !write(event_text(usage_piece(head_, usage_)))) return;
    write(kDoneEvent);
  } catch (...) {
    write(event_text(to_json(current_error())));
  }

 private:
  bool chat() const { return head_.kind == ReplyKind::kChat; }
  static int64_t index(size_t i) { return static_cast<int64_t>(i); }

  // Takes everything that comes. on_token: of a sample, with what can be shown in delta_; on_end: of a sample
  // that is whole. Either returns false when nobody listens any more; false: so it was.
  bool follow(const Gone& gone, const std::function<bool(size_t)>& on_token,
              const std::function<bool(size_t)>& on_end) {
    const auto each = static_cast<size_t>(request_.samples);
    for (size_t p = 0; p < asked_.size(); ++p) {
      Answering& answering = *asked_[p].answering;
      auto looked = std::chrono::steady_clock::now();
      for (size_t left = each; left > 0;) {
        std::optional<ServiceEvent> event = answering.next(kPatience);
        const auto now = std::chrono::steady_clock::now();
        if (!event || now - looked > kPatience) {
          if (gone()) return false;
          looked = now;
        }
        if (!event) continue;
        const size_t i = p * each + static_cast<size_t>(event->sample);
        Sample& sample = *samples_.at(i);
        if (event->completion) {
          sample.completion = std::move(event->completion);
          usage_.completion += index(sample.completion->ids.size());
          --left;
          if (!on_end(i)) return false;
          continue;
        }
        ++decoded_;
        const size_t offset = sample.text.text().size();
        delta_ = sample.text.push(event->id);
        if (request_.top_logprobs && !ends(event->id))
          sample.tokens.push_back({event->logprob, std::move(event->top), offset});
        if (!on_token(i)) return false;
      }
      usage_.prompt += asked_[p].prompt_tokens;
      usage_.cached += answering.cached_tokens();
      asked_[p].answering.reset();
    }
    return true;
  }

  bool ends(int64_t id) const { return std::count(rules_.end_ids.begin(), rules_.end_ids.end(), id) > 0; }

  // The log-probs of the sample's tokens that begin before this byte of its text; null: none were asked for.
  Json logprobs(Sample& sample, size_t before) const {
    if (!request_.top_logprobs) return nullptr;
    const auto end = std::find_if(sample.tokens.begin(), sample.tokens.end(),
                                  [&](const SpokenToken& token) { return token.offset >= before; });
    const std::vector<SpokenToken> told(sample.tokens.begin(), end);
    sample.tokens.erase(sample.tokens.begin(), end);
    return chat() ? chat_logprobs(told, spelling_) : completion_logprobs(told, sample.text.text(), spelling_);
  }
  // All that are left: what stands behind a stop string's beginning is no part of the answer.
  Json last_logprobs(Sample& sample) const {
    const Completion& c = *sample.completion;
    return logprobs(sample, c.finish == FinishReason::kStop ? c.text.size() : SIZE_MAX);
  }

  Json piece(size_t i, const std::string& words) {
    Sample& sample = *samples_[i];
    Json logps = logprobs(sample, sample.text.let_go());
    return chat() ? chat_piece(index(i), {{"content", words}}, logps, "")
                  : completion_choice(index(i), words, logps, "");
  }

  template <class Send>
  bool send_end(size_t i, const Send& send) {
    Sample& sample = *samples_[i];
    const Said said = sample.text.finish(*sample.completion);
    const std::string finish = finish_reason(sample.completion->finish, !said.calls.empty());
    const bool untold = request_.top_logprobs && !sample.tokens.empty();
    if (!said.content.empty() || untold) {
      Json logps = last_logprobs(sample);
      Json last = chat() ? chat_piece(index(i), {{"content", said.content}}, logps, "")
                         : completion_choice(index(i), said.content, logps, "");
      if (!send(std::move(last))) return false;
    }
    if (!chat()) return send(completion_choice(index(i), "", nullptr, finish));
    if (!said.calls.empty()) {
      Json calls = calls_json(said.calls, head_, index(i));
      for (size_t k = 0; k < calls.size(); ++k) calls[k]["index"] = k;
      if (!send(chat_piece(index(i), {{"tool_calls", std::move(calls)}}, nullptr, ""))) return false;
    }
    return send(chat_piece(index(i), Json::object(), nullptr, finish));
  }

  Json choice(size_t i) {
    Sample& sample = *samples_[i];
    const Said said = said_in(rules_, *sample.completion);
    const std::string finish = finish_reason(sample.completion->finish, !said.calls.empty());
    Json logps = last_logprobs(sample);
    return chat()
               ? chat_choice(index(i), said.content, calls_json(said.calls, head_, index(i)), logps, finish)
               : completion_choice(index(i), said.content, logps, finish);
  }

  ReplyHead head_;
  AnswerRules rules_;
  CommonRequest request_;
  std::vector<Asked> asked_;  // a prompt each
  const TokenSpelling& spelling_;
  std::vector<std::unique_ptr<Sample>> samples_;  // of the first prompt, then of the next ...
  std::string delta_;
  int64_t decoded_ = 0;
  Usage usage_;
};

uint64_t drawn_seed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace

Answerer::Answerer(const ServedModel& model)
    : model_(model),
      prompts_(*model.tokenizer, model.chat),
      spelling_(*model.tokenizer),
      start_(fmt::format("{:08x}", static_cast<uint32_t>(drawn_seed()))) {}

std::vector<ModelEntry> Answerer::models() const {
  std::vector<ModelEntry> out{{model_.name, ""}};
  for (const auto& [name, folder] : model_.service->adapters()) out.push_back({name, model_.name});
  return out;
}

std::string Answerer::adapter_of(const std::string& model) const {
  if (model.empty() || model == model_.name) return "";
  std::vector<std::string> names{model_.name};
  for (const auto& [name, folder] : model_.service->adapters()) {
    if (name == model) return name;
    names.push_back(name);
  }
  throw not_found(fmt::format("model: there is none called {}; there are: {}", shown_value(Json(model)),
                              fmt::join(names, ", ")),
                  "model_not_found");
}

ReplyHead Answerer::head(ReplyKind kind, const std::string& model) const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {kind,
          fmt::format("{}-{}{:08x}", kind == ReplyKind::kChat ? "chatcmpl" : "cmpl", start_, ++replies_),
          model.empty() ? model_.name : model, std::chrono::duration_cast<std::chrono::seconds>(now).count()};
}

// Says how many tokens may come.
void Answerer::fit(CommonRequest& request, size_t prompt_tokens) const {
  const int64_t context = model_.service->context(), prompt = static_cast<int64_t>(prompt_tokens);
  const int64_t left = context - prompt;
  if (left <= 0 || request.max_tokens.value_or(0) > left) {
    const std::string asked =
        request.max_tokens ? fmt::format(" and max_tokens {}", *request.max_tokens) : std::string();
    throw bad_request("",
                      fmt::format("the context is {} tokens; the prompt has {}{}: shorten the prompt{}",
                                  context, prompt, asked, request.max_tokens ? ", or lower max_tokens" : ""),
                      "context_length_exceeded");
  }
  request.sampling.max_new_tokens = request.max_tokens.value_or(
      request.default_tokens == 0 ? left : std::min(left, request.default_tokens));
  request.sampling.min_new_tokens =
      std::min(request.sampling.min_new_tokens, request.sampling.max_new_tokens);
}

std::unique_ptr<Answering> Answerer::ask(const CommonRequest& request, const std::vector<int64_t>& prompt,
                                         uint64_t seed) const {
  return model_.service->ask({.adapter = adapter_of(request.model),
                              .prompt = prompt,
                              .samples = request.samples,
                              .seed = seed,
                              .sampling = request.sampling,
                              .top_logprobs = request.top_logprobs});
}

std::unique_ptr<Reply> Answerer::chat(const Json& json) const {
  ChatRequest request = read_chat_request(json, model_.defaults);
  adapter_of(request.model);  // before any work
  const ServedPrompt prompt = prompts_.chat(request);
  fit(request, prompt.ids.size());
  AnswerRules rules{model_.tokenizer,       model_.end_ids, request.sampling.stop, {},
                    request.tools.parallel, prompt.begun};
  if (!request.tools.tools.empty()) rules.tools = prompts_.format();
  std::vector<ServiceReply::Asked> asked;
  asked.push_back({ask(request, prompt.ids, request.seed.value_or(drawn_seed())),
                   static_cast<int64_t>(prompt.ids.size())});
  return std::make_unique<ServiceReply>(head(ReplyKind::kChat, request.model), std::move(rules), request,
                                        std::move(asked), spelling_);
}

std::unique_ptr<Reply> Answerer::completion(const Json& json) const {
  CompletionRequest request = read_completion_request(json, model_.defaults);
  adapter_of(request.model);
  std::vector<std::vector<int64_t>> prompts;
  for (const auto& prompt : request.prompts) prompts.push_back(prompts_.plain(prompt).ids);
  const uint64_t seed = request.seed.value_or(drawn_seed());
  std::vector<ServiceReply::Asked> asked;
  for (size_t i = 0; i < prompts.size(); ++i) {
    fit(request, prompts[i].size());
    asked.push_back({ask(request, prompts[i], seed + i), static_cast<int64_t>(prompts[i].size())});
  }
  AnswerRules rules{model_.tokenizer, model_.end_ids, request.sampling.stop, {}, true, ""};
  return std::make_unique<ServiceReply>(head(ReplyKind::kCompletion, request.model), std::move(rules),
                                        request, std::move(asked), spelling_);
}

}  // namespace temper

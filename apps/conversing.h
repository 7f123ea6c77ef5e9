// Conversations of several turns in temper-generate and temper-eval.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "data/records.h"
#include "env/conversations.h"
#include "env/environment.h"
#include "env/introduce.h"
#include "rollout/engine.h"

namespace temper {

struct EnvironmentFields : Fields {
  std::string kind;
  std::unique_ptr<EnvironmentOptions> options;
  void fields(FieldVisitor& v) override {
    v.choice("environment", "kind", options, kind, environment_registry(), "who answers");
  }
};

// The environment that a command line names, if it names one.
class Conversing {
 public:
  // text: a kind, or an object as in a config's "environment"; empty: none. Throws UserError.
  explicit Conversing(const std::string& text) {
    if (text.empty()) return;
    EnvironmentFields fields;
    const Json options = text[0] == '{' ? parse_json(text, "--environment") : Json{{"kind", text}};
    read_fields(fields, {{"environment", options}}, "--environment", ".");
    if (!fields.options) user_error("--environment: expected a kind, found an empty one");
    options_ = std::move(fields.options);
    source_ = options_->make();
  }

  // The environment "budget" with so many tokens of thinking; text: as above, or empty. Throws UserError.
  static std::string with_budget(const std::string& text, int64_t tokens) {
    Json options = text.empty()     ? Json{{"kind", "budget"}}
                   : text[0] == '{' ? parse_json(text, "--environment")
                                    : Json{{"kind", text}};
    if (options.value("kind", Json()) != "budget")
      user_error("--budgets: goes with --environment budget, found {}", text);
    options["tokens"] = tokens;
    return options.dump();
  }
  // Throws UserError when a conversation needs more than so many new tokens.
  void demand_room(int64_t max_new_tokens) const {
    if (on() && max_new_tokens < options_->least_tokens())
      user_error("--max-new-tokens: {} leave no room for what the environment asks for; it needs {}",
                 max_new_tokens, options_->least_tokens());
  }

  bool on() const { return source_ != nullptr; }
  bool scores() const { return options_ != nullptr && options_->scores(); }

  // The settings, and the records, with what the environment has prompts say of it.
  EncodeSettings introduced(EncodeSettings settings, const Tokenizer& tokenizer, const ChatTemplate* chat,
                            std::vector<Record>& records) const {
    if (on()) introduce(*source_, tokenizer, chat, settings, {&records});
    return settings;
  }

  // Puts behind each record what the environment opens its conversation with, and encodes those prompts anew.
  // Throws UserError when one is longer than the encoder takes.
  void open(std::vector<Record>& records, std::vector<std::vector<int64_t>>& prompts,
            const RecordEncoder& encoder, uint64_t seed) const {
    if (!on()) return;
    if (const std::string line = check_records(*source_, records, "--environment"); !line.empty())
      log_warning("{}", line);
    if (!source_->opens()) return;
    for (size_t i = 0; i < records.size(); ++i) {
      records[i] = *opened_record(*source_, records[i], seed, i);
      prompts[i] = encoder.prompt(records[i]);
      if (prompts[i].empty())
        user_error("{}: with what the environment opens the conversation with, the prompt is too long",
                   records[i].where());
    }
  }

  // The engine's other side for requests whose stream_index says which of the records they ask; null: none.
  std::unique_ptr<Conversations> begin(const std::vector<Record>& records,
                                       const std::vector<GenerateRequest>& requests,
                                       const RecordEncoder& encoder, uint64_t seed,
                                       std::function<void()> on_wait) const {
    if (!on()) return nullptr;
    std::vector<Asked> asked;
    for (const GenerateRequest& r : requests)
      asked.push_back({{std::shared_ptr<const Record>(), &records.at(r.stream_index)}, r.stream_index});
    return std::make_unique<Conversations>(
        *source_, encoder, std::move(asked),
        ConversationSettings{options_->max_turns, options_->turn_tokens, seed, 0, true, std::move(on_wait)});
  }

 private:
  std::unique_ptr<EnvironmentOptions> options_;
  std::unique_ptr<EnvironmentSource> source_;
};

}  // namespace temper

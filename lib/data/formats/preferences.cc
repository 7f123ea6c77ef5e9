// Preference data of Hugging Face's H4, Anthropic's HH-RLHF, UltraFeedback and NeMo RL.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/formats/parts.h"

namespace temper::formats {
namespace {

// Answers to one prompt, best and worst of them as a pair; the ratings stay beside it for those who read
// them. nullopt: no two differ in rating.
std::optional<Json> rated_pair(Json prompt, Json completions, const std::vector<double>& ratings) {
  if (ratings.size() < 2) return std::nullopt;
  const auto [worst, best] = std::minmax_element(ratings.begin(), ratings.end());
  if (*worst == *best) return std::nullopt;
  Json out = {{"prompt", std::move(prompt)},
              {"chosen", completions[static_cast<size_t>(best - ratings.begin())]},
              {"rejected", completions[static_cast<size_t>(worst - ratings.begin())]}};
  out["completions"] = std::move(completions);
  out["ratings"] = ratings;
  return out;
}

}  // namespace

// ---- H4
// ----------------------------------------------------------------------------------------------------

bool fits_h4(const Json& record) {
  return has_text(record, "prompt") && has_list_of(record, "chosen", "role") &&
         has_list_of(record, "rejected", "role");
}

// The string says again what both chats begin with (TRL's maybe_extract_prompt): the prompt is what they
// share.
std::optional<Json> from_h4(const Record& record) {
  const Json prompt = preference_prompt(record);
  const auto answer = [&](const char* key) {
    const Json& chat = record.json[key];
    return Json(Json::array_t(chat.begin() + static_cast<std::ptrdiff_t>(prompt.size()), chat.end()));
  };
  return with_columns({{"prompt", prompt}, {"chosen", answer("chosen")}, {"rejected", answer("rejected")}},
                      record.json, {"messages"});
}

// ---- HH-RLHF
// -----------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view kHuman = "\n\nHuman:", kAssistant = "\n\nAssistant:";

std::string_view without_space(std::string_view text) {
  if (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

// "\n\nHuman: ...\n\nAssistant: ..." as messages.
Json dialogue(std::string_view text) {
  Json out = Json::array();
  while (!text.empty()) {
    const bool human = text.starts_with(kHuman);
    text.remove_prefix((human ? kHuman : kAssistant).size());
    const size_t end = std::min({text.find(kHuman), text.find(kAssistant), text.size()});
    out.push_back(message(human ? "user" : "assistant", std::string(without_space(text.substr(0, end)))));
    text.remove_prefix(end);
  }
  return out;
}

}  // namespace

bool fits_hh(const Json& record) {
  const auto begins = [&](const char* key) {
    return has_text(record, key) && record[key].get_ref<const std::string&>().starts_with(kHuman);
  };
  return begins("chosen") && begins("rejected") && !has_column(record, "prompt");
}

// As TRL's example for HH-RLHF: the prompt is the dialogue up to the last turn of the assistant that both
// begin alike.
std::optional<Json> from_hh(const Record& record) {
  const std::string &chosen = record.json["chosen"].get_ref<const std::string&>(),
                    &rejected = record.json["rejected"].get_ref<const std::string&>();
  size_t shared = static_cast<size_t>(
      std::mismatch(chosen.begin(),
                    chosen.begin() + static_cast<std::ptrdiff_t>(std::min(chosen.size(), rejected.size())),
                    rejected.begin())
          .first -
      chosen.begin());
  const size_t last = std::string_view(chosen).substr(0, shared).rfind(kAssistant);
  if (last == std::string_view::npos)
    user_error("{}: \"chosen\" and \"rejected\" share no turn that ends in \"Assistant:\"", record.where());
  if (chosen == rejected) return std::nullopt;
  const auto answer = [&](const std::string& text) {
    return said("assistant",
                std::string(without_space(std::string_view(text).substr(last + kAssistant.size()))));
  };
  return with_columns({{"prompt", dialogue(std::string_view(chosen).substr(0, last))},
                       {"chosen", answer(chosen)},
                       {"rejected", answer(rejected)}},
                      record.json, {});
}

// ---- UltraFeedback
// -----------------------------------------------------------------------------------------

bool fits_ultrafeedback(const Json& record) {
  return has_text(record, "instruction") && record.contains("completions") &&
         record["completions"].is_array() &&
         (record["completions"].empty() || has_list_of(record, "completions", "response"));
}

std::optional<Json> from_ultrafeedback(const Record& record) {
  Json completions = Json::array();
  std::vector<double> ratings;
  for (const Json& completion : record.json["completions"]) {
    const bool rated = completion.is_object() && has_text(completion, "response") &&
                       has_column(completion, "overall_score") && completion["overall_score"].is_number();
    if (!rated) {
      user_error("{}: \"completions\"[{}] must have a \"response\" and a number \"overall_score\"",
                 record.where(), ratings.size());
    }
    completions.push_back(said("assistant", completion["response"]));
    ratings.push_back(completion["overall_score"]);
  }
  auto made = rated_pair(said("user", text_of(record, "instruction", "ultrafeedback")),
                         std::move(completions), ratings);
  if (!made) return std::nullopt;
  return with_columns(*std::move(made), record.json, {"instruction"});
}

// ---- NeMo RL
// -----------------------------------------------------------------------------------------------

bool fits_nemo(const Json& record) {
  const bool pair = has_text(record, "input") && has_text(record, "output");
  const bool ranked = has_column(record, "context") && has_list_of(record, "completions", "rank") &&
                      has_list_of(record, "completions", "completion");
  return (pair || ranked) && !has_column(record, "instruction") && !has_column(record, "prompt") &&
         !has_column(record, "messages") && !has_column(record, "text");
}

std::optional<Json> from_nemo(const Record& record) {
  if (!has_column(record.json, "completions")) {
    const Json chat = {message("user", text_of(record, "input", "nemo")),
                       message("assistant", text_of(record, "output", "nemo"))};
    return with_columns({{"messages", chat}}, record.json, {"input", "output"});
  }
  Json completions = Json::array();
  std::vector<double> ratings;
  for (const Json& ranked : record.json["completions"]) {
    if (!ranked.is_object() || !ranked.contains("rank") || !ranked["rank"].is_number() ||
        !ranked.contains("completion")) {
      user_error("{}: \"completions\"[{}] must have a \"rank\", 0 for the best, and a \"completion\"",
                 record.where(), ratings.size());
    }
    completions.push_back(messages_of({ranked, record.file, record.line}, "completion", {}));
    ratings.push_back(0.0 - ranked["rank"].get<double>());
  }
  const bool text = record.json["context"].is_string();
  auto made = rated_pair(text ? said("user", record.json["context"]) : messages_of(record, "context", {}),
                         std::move(completions), ratings);
  if (!made) return std::nullopt;
  return with_columns(*std::move(made), record.json, {"context"});
}

// ---- verl
// --------------------------------------------------------------------------------------------------

bool fits_verl(const Json& record) {
  return has_column(record, "prompt") && has_column(record, "reward_model") &&
         record["reward_model"].is_object() && has_column(record["reward_model"], "ground_truth");
}

// The rewards look for "answer"; reward_model, data_source and extra_info travel along.
std::optional<Json> from_verl(const Record& record) {
  Json out = record.json;
  if (!has_column(out, "answer")) out["answer"] = out["reward_model"]["ground_truth"];
  return out;
}

}  // namespace temper::formats

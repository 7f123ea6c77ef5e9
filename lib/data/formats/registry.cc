// Every format of records that data.format can name.
#include "data/formats/format.h"
#include "data/formats/parts.h"

namespace temper {
namespace {

using namespace formats;

Json parsed(const char* json) {
  return Json::parse(json);
}

std::optional<Json> as_it_is(const Record& record) {
  return record.json;
}

bool has_ids(const Json& record) {
  return has_column(record, "input_ids");
}

bool fits_all(const Json&) {
  return true;
}

}  // namespace

// In the order in which a record is tried.
const std::vector<DataFormat>& data_formats() {
  static const std::vector<DataFormat> formats = {
      {"pretokenised", "token ids; of labels, where given, those of -100 are not learnt",
       "transformers' data collators", "\"input_ids\"", "itself", has_ids, as_it_is,
       parsed(R"({"input_ids": [1, 5, 6, 2], "labels": [-100, -100, 6, 2]})"), true},
      {"alpaca",
       "an instruction, its input and the answer; with earlier turns, a system's words, or two answers",
       "Stanford Alpaca; LLaMA-Factory's data/README.md",
       "\"instruction\" with \"output\", or with \"chosen\" and \"rejected\"",
       "messages; prompt, chosen and rejected; or with a label prompt and completion", fits_alpaca,
       from_alpaca, parsed(R"({"instruction": "Add one.", "input": "2", "output": "3"})")},
      {"ultrafeedback", "an instruction and answers with scores: the best against the worst",
       "Cui et al., UltraFeedback (arXiv 2310.01377)",
       "\"instruction\" and \"completions\" with \"response\" and \"overall_score\"",
       "prompt, chosen and rejected, and all completions with their ratings", fits_ultrafeedback,
       from_ultrafeedback,
       parsed(R"({"instruction": "2+1?", "completions": [{"response": "3", "overall_score": 8.5},
                                                          {"response": "4", "overall_score": 2.0}]})"),
       false, "no two answers of different scores"},
      {"sharegpt", "a chat of human and gpt, or of user and assistant, with tools and calls of functions",
       "FastChat; LLaMA-Factory's data/README.md",
       "\"conversations\" of \"from\" and \"value\", or of \"role\" and \"content\"",
       "messages; prompt, chosen and rejected; or with a label prompt and completion", fits_sharegpt,
       from_sharegpt,
       parsed(R"({"conversations": [{"from": "human", "value": "2+1?"}, {"from": "gpt", "value": "3"}]})")},
      {"openai_preference", "a chat and two outputs", "OpenAI's guide to direct preference optimization",
       "\"input\" with \"messages\", \"preferred_output\" and \"non_preferred_output\"",
       "prompt, chosen and rejected", fits_openai_preference, from_openai_preference,
       parsed(R"({"input": {"messages": [{"role": "user", "content": "2+1?"}]},
                  "preferred_output": [{"role": "assistant", "content": "3"}],
                  "non_preferred_output": [{"role": "assistant", "content": "4"}]})")},
      {"h4", "two whole chats, and as a string the prompt that both begin with",
       "Hugging Face's H4; TRL's data_utils.maybe_extract_prompt",
       "\"prompt\" as a string beside \"chosen\" and \"rejected\" as chats", "prompt, chosen and rejected",
       fits_h4, from_h4,
       parsed(
           R"({"prompt": "2+1?", "chosen": [{"role": "user", "content": "2+1?"}, {"role": "assistant", "content": "3"}],
                  "rejected": [{"role": "user", "content": "2+1?"}, {"role": "assistant", "content": "4"}],
                  "score_chosen": 8.0, "score_rejected": 2.0})"),
       true},  // a preference of records.h but for its prompt
      {"hh", "two dialogues as text", "Bai et al., HH-RLHF (arXiv 2204.05862); TRL's hh-rlhf example",
       "\"chosen\" and \"rejected\" that begin with an empty line and \"Human:\"",
       "prompt, chosen and rejected", fits_hh, from_hh,
       parsed(
           R"({"chosen": "\n\nHuman: 2+1?\n\nAssistant: 3", "rejected": "\n\nHuman: 2+1?\n\nAssistant: 4"})"),
       false, "two answers that are the same"},
      {"nemo", "an input and its output, or a context and ranked completions", "NVIDIA NeMo RL's docs",
       "\"input\" and \"output\", or \"context\" and \"completions\" with \"rank\" and \"completion\"",
       "messages; or prompt, chosen and rejected, and all completions with their ratings", fits_nemo,
       from_nemo, parsed(R"({"context": [{"role": "user", "content": "2+1?"}],
                  "completions": [{"rank": 0, "completion": [{"role": "assistant", "content": "3"}]},
                                  {"rank": 1, "completion": [{"role": "assistant", "content": "4"}]}]})"),
       false, "no two completions of different ranks"},
      {"verl", "a prompt and the truth that a rule compares the answer with", "verl's docs/preparation",
       "\"prompt\" and \"reward_model\" with \"ground_truth\"", "prompt, and \"answer\" for the rewards",
       fits_verl, from_verl,
       parsed(
           R"({"data_source": "openai/gsm8k", "prompt": [{"role": "user", "content": "2+1?"}], "ability": "math",
                  "reward_model": {"style": "rule", "ground_truth": "3"}, "extra_info": {"index": 0}})")},
      {"openai", "a chat; the assistant's messages of \"weight\" 0 are not learnt",
       "OpenAI's guide to fine-tuning", "\"messages\"",
       "itself, with \"functions\" and \"function_call\" as tools", fits_openai, from_openai,
       parsed(
           R"({"messages": [{"role": "user", "content": "2+1?"}, {"role": "assistant", "content": "3", "weight": 1}]})"),
       true},
      {"trl", "the kinds of records that need no format: text, prompts with completions, chats, pairs, steps",
       "TRL's dataset formats", "\"text\", \"prompt\", \"messages\", or \"chosen\" and \"rejected\"",
       "itself", fits_all, as_it_is, parsed(R"({"prompt": "2+1?", "completion": " 3"})"), true},
  };
  return formats;
}

std::vector<std::string> data_format_names() {
  std::vector<std::string> out = {"auto"};
  for (const DataFormat& format : data_formats()) out.push_back(format.name);
  out.push_back("llamafactory");
  return out;
}

}  // namespace temper

// JSONL in the formats people have, turned into tokens and targets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

// One line of a file.
struct Record {
  Json json;
  std::string file;
  int64_t line = 0;  // from 1
  std::string where() const { return file + ":" + std::to_string(line); }
};

// Reads JSONL files in order. Throws UserError with file and line: not an object, invalid JSON, invalid
// UTF-8, an empty file, or no file. Blank lines are passed over.
std::vector<Record> read_jsonl(const std::vector<std::string>& files);

enum class RecordKind { kText, kPromptCompletion, kMessages, kPreference, kPrompt, kUnpaired, kStepwise };

// The kind from a record's keys; UserError with the keys found and those each kind expects.
RecordKind record_kind(const Record& record);

// One sequence to learn from: ids and which of them are targets.
struct Example {
  std::vector<int64_t> ids;
  std::vector<bool> target;   // per id
  int64_t prompt_tokens = 0;  // ids before the first target
};

struct EncodeSettings {
  int64_t max_tokens = 1024;          // longer examples: see `overlong`
  std::string overlong = "truncate";  // "truncate" (from the right), "drop", "error"
  std::string targets =
      "auto";  // "auto" (completion or assistant turns; all for text), "all", "assistant", "completion"
  bool add_eos = true;  // after text and string completions
  Json template_extra;  // variables for the chat template (tools, enable_thinking ...)
};

class RecordEncoder {
 public:
  // chat may be null: chat records are then an error that names the line and suggests "template": "chatml".
  RecordEncoder(const Tokenizer& tokenizer, const ChatTemplate* chat, EncodeSettings settings);

  // For SFT: kText, kPromptCompletion (strings or chat messages), kMessages. Empty ids when dropped as
  // overlong.
  Example supervised(const Record& record) const;

  // For RL and generation: the prompt of kPrompt, kPromptCompletion or kMessages (without its last assistant
  // turn), rendered with the generation prompt when it is a chat. Throws UserError when longer than
  // max_tokens.
  std::vector<int64_t> prompt(const Record& record) const;
  // The prompt as text, as the model sees it, special tokens included.
  std::string prompt_text(const Record& record) const;

 private:
  const ChatTemplate& chat(const Record& record) const;
  Json prompt_chat(const Record& record, RecordKind kind) const;
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_;
  EncodeSettings settings_;
};

// All text of the records, for training a tokenizer on them.
std::vector<std::string> training_texts(const std::vector<Record>& records);

// Which records a step uses: epochs of a seeded permutation; a pure function of (seed, position), so the
// cursor is one number. order: "shuffle" or "sequential".
class RecordOrder {
 public:
  RecordOrder(int64_t records, uint64_t seed, std::string order);
  int64_t at(int64_t position) const;  // record index at the position-th draw of the run

 private:
  int64_t records_;
  uint64_t seed_;
  bool shuffle_;
  mutable int64_t epoch_ = -1;
  mutable std::vector<int64_t> permutation_;
};

}  // namespace temper

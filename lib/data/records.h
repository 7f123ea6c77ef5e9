// Records in the forms of TRL's datasets, turned into tokens and targets. What other tools write becomes one
// of them in data/formats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/special_tokens.h"
#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

// One line of a file.
struct Record {
  Json json;
  std::string file;
  int64_t line = 0;         // from 1
  std::string prefix = {};  // behind EncodeSettings::prefix, and like it
  std::string where() const { return file + ":" + std::to_string(line); }
};

// Reads files in order, each told by its content: JSONL, or one JSON array of objects, either of them also
// under gzip or zstd (data/source/decompress.h has the bounds), Parquet and Arrow (data/columns/columns.h);
// by its name a table with a header, .csv or .tsv (data/source/csv.h); and a folder that datasets'
// save_to_disk wrote. Throws UserError with file and line: not an object, invalid JSON, invalid UTF-8, an
// empty file, or no file. Blank lines are passed over.
std::vector<Record> read_records(const std::vector<std::string>& files);

// Whether the record has the column: one that is null counts as absent, as tables of mixed records fill their
// gaps with nulls.
bool has_column(const Json& record, const std::string& key);

// A label: true or false, or the numbers 1 and 0; nullopt for anything else.
std::optional<bool> truth(const Json& value);

// The record's column as a finite number (true is 1; a number in text, as tables have it, is one), as text.
// Throws UserError at the record's place, with `who` needs it ("loss.name rwr").
double number_column(const Record& record, const std::string& column, const std::string& who);
std::string text_column(const Record& record, const std::string& column, const std::string& who);

// The formats of TRL's datasets, each as strings or as lists of chat messages:
//   kText              text
//   kPromptCompletion  prompt, completion
//   kMessages          messages
//   kPreference        chosen, rejected, and prompt unless the two begin with it (a string beside chats is
//                      passed over: they begin with it)
//   kPrompt            prompt
//   kUnpaired          prompt, completion, label
//   kStepwise          prompt, completions, labels
//   kTokens            input_ids, and labels and attention_mask where given: token ids instead of words
// Further columns travel along: "tools" (a list, or its JSON as a string) and "chat_template_kwargs" reach
// the chat template, all of them reach the rewards.
enum class RecordKind {
  kText,
  kPromptCompletion,
  kMessages,
  kPreference,
  kPrompt,
  kUnpaired,
  kStepwise,
  kTokens
};

// The kind from a record's keys; UserError with the keys found and those each kind expects, or with what is
// wrong with a column's type.
RecordKind record_kind(const Record& record);

// Whether the column holds chat messages rather than a string. Throws UserError for anything else, and for
// messages that are not {"role": text, "content": text or parts}, or whose "weight" is not 0, or 1 for the
// assistant's.
bool is_chat_column(const Record& record, const std::string& key);

// What chosen and rejected of a kPreference record answer: its prompt, or what both begin with. Throws
// UserError when they do not begin alike.
Json preference_prompt(const Record& record);

// One sequence to learn from: ids and which of them are targets.
struct Example {
  std::vector<int64_t> ids;
  std::vector<bool> target;                     // per id
  int64_t prompt_tokens = 0;                    // ids before the first target
  int64_t prefix_begin = 0, prefix_tokens = 0;  // where the record's prefix stands
  std::vector<int64_t> input = {};              // what the model reads in the place of ids; empty: ids
};

// A completion and what stands before its first target. Empty when it was dropped as overlong.
struct Answer {
  std::vector<int64_t> prompt, completion;
  std::vector<bool> target;  // per id of the completion
};

// A solution in steps: where each ends, as a place in prompt and completion together.
struct Steps {
  std::vector<int64_t> prompt, completion;
  std::vector<int64_t> ends;  // of the last token of each step, its separator included
};

struct EncodeSettings {
  int64_t max_tokens = 1024;          // longer examples: see `overlong`
  std::string overlong = "truncate";  // "truncate" (from the right; prompts from the left), "drop", "error"
  // "auto": completion or assistant turns, all for text and for a chat without an assistant turn.
  // "completion": the completion, or the chat's last assistant turn. "assistant": all assistant turns of a
  // chat. "all": every token.
  std::string targets = "auto";
  // Special tokens that "text" and string prompts and completions spell out: "parse" makes them tokens, as
  // transformers does, "text" leaves them letters, "auto" parses strings that SpecialTokens::rendered knows.
  // The words of chat messages never become special tokens.
  std::string special_tokens = "auto";
  bool add_eos = true;  // after text and string completions
  // Text before everything but the begin token, such as a control token; special tokens written in it become
  // their ids. Never a target.
  std::string prefix = {};
  Json template_extra;  // variables for the chat template (tools, enable_thinking ...)
};

class RecordEncoder {
 public:
  // chat may be null: chat records are then an error that names the line and suggests "template": "chatml".
  // Throws UserError for settings out of their choices.
  RecordEncoder(const Tokenizer& tokenizer, const ChatTemplate* chat, EncodeSettings settings);

  // What is worth a warning about how the records are read, a line each.
  std::vector<std::string> remarks(const std::vector<Record>& records) const;
  // Whether all of a chat is learnt because it has no assistant turn.
  bool learnt_whole(const Record& record) const;

  // For SFT: kText, kPromptCompletion (strings or chat messages), kMessages, kTokens. Empty ids when dropped
  // as overlong. Turns of "weight" 0 are no targets. A string prompt and its completion are encoded as one
  // text, as TRL does, unless a token would reach over the border: then each on its own, so that the prompt
  // is the one that generation sees. Of a chat completion the assistant's words and their end token are
  // targets; one behind a prompt that ends in the assistant's words continues them, in the same turn. A
  // column "unfinished" that lists "completion" says that the answer was cut: its end token is left out.
  // Throws UserError when nothing is left to learn from.
  Example supervised(const Record& record) const;

  // For preference training, pairs.cc. Throws UserError for another kind of record. kPreference: chosen and
  // rejected; without a prompt column it is what both begin with, as TRL takes it; a column
  // "unfinished" lists those of the two that were cut and get no end token. kUnpaired: the answer and whether
  // it is desirable.
  std::pair<Answer, Answer> preference(const Record& record) const;
  std::pair<Answer, bool> unpaired(const Record& record) const;

  // The prompt and completion of kPromptCompletion, as supervised() encodes them.
  Answer answer(const Record& record) const;
  // The completions that a prompt's record brings along: those of its list "demonstrations", else its
  // "completion"; overlong ones left out. Throws UserError when it has neither.
  std::vector<Answer> demonstrations(const Record& record) const;

  // kStepwise as whole answers to one prompt, each as a completion of its own; those dropped as overlong are
  // empty.
  std::vector<Answer> answers(const Record& record) const;

  // The prompt of a record and `steps` behind it, each encoded on its own with the separator's tokens behind
  // it, as TRL's process reward trainer does. Overlong ones: dropped (empty), or cut behind the last step
  // that fits.
  Steps steps(const Record& record, const std::vector<std::string>& steps,
              const std::string& separator) const;

  // For RL and generation: the prompt of kPrompt, kPromptCompletion, kPreference or kMessages (without its
  // last assistant turn). A chat is rendered with the generation prompt; one whose "prompt" ends in an
  // assistant's message is left open behind it, to be continued. Longer than max_tokens: empty ("drop"), its
  // last max_tokens tokens with the begin token and the prefix kept ("truncate"), or UserError ("error").
  std::vector<int64_t> prompt(const Record& record) const;
  // How a conversation goes on: what stands behind the model's answer when `said` follows the prompt: chat
  // messages, of which number `answer` is that answer, and those behind it are new. Behind a string prompt
  // the words of each new message stand on a line of their own. Throws UserError, see
  // ChatTemplate::encode_behind.
  std::vector<int64_t> behind(const Record& record, const Json& said, size_t answer) const;
  // Words that stand in the middle of an answer, special tokens and all.
  std::vector<int64_t> words(const std::string& text) const;
  // The prompt as text, as the model sees it, special tokens included.
  std::string prompt_text(const Record& record) const;

 private:
  const ChatTemplate& chat(const Record& record) const;
  Json variables(const Record& record) const;  // for the template: the settings' and the record's own
  bool parses(std::string_view text) const;
  // The parts as one text. begins: behind the tokenizer's begin token.
  std::vector<int64_t> encode_strings(const std::vector<std::string>& parts, bool begins) const;
  // Puts the record's prefix into ids and returns its place [begin, end).
  std::pair<int64_t, int64_t> insert_prefix(const Record& record, std::vector<int64_t>& ids) const;
  Example text_example(const Record& record) const;
  // Tokens whose label is -100 are no targets; those outside the attention_mask, padding, are left out.
  // Throws UserError for ids outside the vocabulary, and lists of different lengths.
  Example token_example(const Record& record) const;  // tokens.cc
  Example string_example(const Record& record) const;
  Example chat_example(const Record& record, RecordKind kind) const;
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_;
  EncodeSettings settings_;
  SpecialTokens special_;
  bool adds_end_ = false;  // the tokenizer puts an end token behind every text
};

// Whether the record's list "unfinished" names this answer ("completion", "chosen", "rejected"): it was cut.
bool is_unfinished(const Record& record, const char* answer);
// Takes the end token, and what follows it, off an answer that was cut: it does not end there.
void drop_end(std::vector<int64_t>& ids, std::vector<bool>& target, const Tokenizer& tokenizer);

// Puts a message behind the record's prompt: a chat message, or behind a string its words, on a line of their
// own. Throws UserError for a record without a prompt.
void append_message(Record& record, const Json& message);

// Puts words behind the record's prompt as they are: behind a string, or in a chat behind the words of its
// last user message. Throws UserError for a record without a prompt, or a chat without such a message.
void append_words(Record& record, const std::string& words);

// The record with a generated answer as supervised training reads it: "completion", in the prompt's form, or
// "messages" that end in the answer. Older answers and what judged them go, further columns travel along.
// whole: it ended by itself; else it is marked as unfinished. Throws UserError for a record without a prompt.
Json answered(const Record& record, const std::string& text, bool whole);

// The record with a conversation as supervised training reads it: "messages", the prompt's and what was said
// behind it. Throws UserError for a record whose prompt is no chat.
Json conversed(const Record& record, const Json& said);

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

// All text of the records (prompts, completions, messages ...), to train a tokenizer on.
std::vector<std::string> training_texts(const std::vector<Record>& records);

}  // namespace temper

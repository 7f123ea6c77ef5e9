// One prompt and several answers to it on a line, as temper-generate --write groups writes it and every task
// reads it:
//   {"prompt": text or messages, "completions": [text or messages, ...], "rewards"?: [number or null, ...],
//    "reward_parts"?, "reward_transformed"?, "reward_texts"?, "reward_outcomes"?: {name: [...], ...},
//    "logprobs"?, "completion_ids"?, "turns"?, "conversations"?, "finish"?, "segments"?: [...],
//    ...further columns, of the prompt}
// Each list has an item, or null, for each of the completions. A line with "labels", "ratings", "shares" or
// "prompts" beside its completions is no group: those say what the completions are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/records.h"

namespace temper {

bool is_group(const Record& record);

// Its answers as records of their own, as temper-generate --score writes them a line each: "prompt",
// "completion" in the prompt's form, "reward" (null: could not tell), "rewards" by name, "logprobs" ... and
// the prompt's further columns. An answer that was cut is marked as unfinished. Throws UserError for lists of
// different lengths and for answers of another form than the prompt.
std::vector<Record> unpacked(const Record& group);
// Of all groups among the records; the others stay as they are.
std::vector<Record> unpacked(const std::vector<Record>& records);
// The other way: answers to one prompt, at least one, as a group's line. Columns that are not of answers are
// the first one's.
Json packed(const std::vector<Json>& answers);
// The columns of a group, or of an answer, that are the prompt's, itself among them.
Json prompt_columns(const Json& record);

// The reward of an answer; nullopt where it is null or there is none. Throws UserError for anything else than
// a finite number, true (1) or false (0).
std::optional<double> answer_reward(const Record& answer);
// What an answer says: its completion, of a chat the words of its messages, a line each.
std::string answer_text(const Record& answer);

// The answers of a record, as records of their own: of a group unpacked(), else the one of "prompt" and
// "completion", or of "messages" that end in it, as "prompt" and "completion". Throws UserError for a record
// that is none of these.
std::vector<Record> answers_of(const Record& record);
// Takes what an answer says, its scores and its tokens out of a record; the prompt's columns stay.
void erase_answer(Json& record);

// Answers to one prompt as records of their own, see unpacked().
struct AnswerGroup {
  std::vector<Record> answers;
};
// The answers_of() all records, gathered by their prompts in the order of the first of each; conversations
// behind a chat as all that was said. Throws UserError as answers_of() does.
std::vector<AnswerGroup> answer_groups(const std::vector<Record>& records);

// The smallest reward of an answer that counts as good or right where nothing else is said; it lies between 0
// and 1.
constexpr double kGoodReward = 0.5;

// Where a reader looks for "ratings" or "labels", the rewards of a group stand for them. Answers without a
// reward are left out. Each throws UserError for a group without rewards.
// {"prompt", "completions", "ratings"}: the ratings are the rewards. What is no group stays as it is.
Record with_ratings(const Record& record);
// {"prompt", "completions": [text, ...], "labels"}: true for a reward of at least `threshold`. Throws
// UserError for an answer of several messages, too.
Record with_labels(const Record& group, double threshold);
// {"prompt", "completion", "ratings": {name: number or null}}, a record each: what each reward said
// ("reward_parts"), or {"reward": ...}.
std::vector<Record> rated_alone(const Record& group);

}  // namespace temper

// Multiple choice by log-prob: the model's answer is the choice that it finds likeliest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/records.h"
#include "eval/evaluate.h"
#include "model/model.h"

namespace temper {

// A record's {"choices": [text, ...], "answer": the right one as its index from 0, its words or its letter};
// "question": what is asked, where the prompt is more than that.
struct ChoiceQuestion {
  std::vector<std::string> choices;
  size_t right = 0;
};
// Throws UserError for a record that is none.
ChoiceQuestion choice_question(const Record& record);

struct ChoiceOptions {
  // "text": the log-prob of each choice's words behind the prompt, of a record with "question" behind
  // "Question: ...\nAnswer:"; "letters": that of A, B ... behind a prompt that lists the choices.
  bool text = true, letters = false;
  // Behind which a choice's log-prob is its prior; "": none is measured.
  std::string prior = "Answer:";
};

// What a choice is worth, in nats. Behind a string prompt without white space at its end a choice begins with
// a space; white space at a prompt's end becomes its beginning, as in the harness.
struct ChoiceScore {
  double logp = 0;  // of its words behind the prompt
  double prior = 0, letter = 0;
  int64_t tokens = 0, characters = 0, bytes = 0;  // of its words
};

// Names of what choices are picked by, as in the language model evaluation harness (EleutherAI) where it has
// them: "acc" by log-prob, "acc_norm" by log-prob / characters, "acc_bytes", "acc_tokens",
// "acc_mutual_info" by log-prob - prior, "acc_letters" by the letter's.
std::vector<std::string> choice_measures(const ChoiceOptions& options);
// The choice that a measure picks; of equal ones the first.
size_t picked(const std::vector<ChoiceScore>& scores, const std::string& measure);

// The scores of all questions' choices, from packed passes in which a question's choices share all the tokens
// that they have in common. A pass holds `pass_tokens`, or one question. Throws UserError for a question that
// is longer than the encoder takes or without tokens, naming it.
std::vector<std::vector<ChoiceScore>> score_choices(Model& model, const RecordEncoder& encoder,
                                                    const std::vector<Record>& records,
                                                    const ChoiceOptions& options, int64_t pass_tokens,
                                                    const std::function<void(size_t done)>& on_pass = {});

// An evaluation whose samples are the choices picked by the first measure, one a prompt; its rewards are the
// measures: 1 where they pick the right choice. prompts: of the records, which outlive the result.
EvalResult choice_result(const std::vector<Record>& records,
                         const std::vector<std::vector<ChoiceScore>>& scores, const ChoiceOptions& options);
// The share of right choices by each measure, of some of its prompts: "acc" ...
std::vector<Figure> choice_figures(const EvalResult& result, const std::vector<size_t>& prompts,
                                   double level);

}  // namespace temper

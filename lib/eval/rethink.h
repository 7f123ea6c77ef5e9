// Thinking again: the question is asked anew with the answer that was given.
#pragma once

#include <string>

#include "data/records.h"

namespace temper {

// The record with the last answer behind what the user said (arXiv 2503.19855, Think Twice):
//   "{question} The assistant's previous answer is: <answer> {answer} </answer>, and please re-answer."
// answer: the text behind "</think>", if it has one, without space around it. Throws as append_words().
Record asked_again(const Record& record, const std::string& answer);

}  // namespace temper

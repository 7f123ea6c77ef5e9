// What is read of a judge's answer: a number, a word, or how likely the one word was beside the other.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace temper {

// A token of the answer and the likeliest ones at its place, itself among them if the server says so.
struct JudgeToken {
  std::string text;
  std::vector<std::pair<std::string, double>> top;  // token, log-probability
};

struct JudgeReply {
  std::string text;                // without what stands up to "</think>"
  std::vector<JudgeToken> tokens;  // of that text; empty: the server told none
};

// The first choice of an OpenAI-style answer, of /chat/completions or /completions. nullopt: it is none.
std::optional<JudgeReply> read_judge_reply(const std::string& body);

// The last number in a text. Of "8/10" and "8 out of 10", where the second is `max`, the first counts; a
// number behind a letter, as in "v2", is none.
std::optional<double> last_number(const std::string& text, double max);

// The number under a key of the first JSON object in a text; nullopt: there is none.
std::optional<double> field_number(const std::string& text, const std::string& field);

// Which of two words a text says, true for the first: its first word, when a line end, punctuation or nothing
// follows ("Yes, because", not "A good"), else its last one. Words of two letters and more in any case.
std::optional<bool> said_word(const std::string& said, const std::string& yes, const std::string& no);

// log p(yes) - log p(no) at the first place where either word is among the likeliest tokens, each the sum
// over its spellings (blanks around it, and the case of words of two letters and more, do not matter). A word
// that is not listed there counts as likely as it can be: as the least likely one that is, or as what all
// listed ones leave, whichever is less. nullopt: neither is listed anywhere.
std::optional<double> word_log_odds(const JudgeReply& reply, const std::string& yes, const std::string& no);

}  // namespace temper

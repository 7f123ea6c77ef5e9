// What a look at all records finds worth telling before a run.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data/records.h"
#include "data/special_tokens.h"

namespace temper {

// The first special token that the record's strings spell out and that stays letters, and the first in the
// words of its chat messages; "" when there is none. special_tokens: as EncodeSettings has it.
struct SpelledOut {
  std::string in_string, in_chat;
};
SpelledOut spelled_out(const Record& record, const SpecialTokens& special, const std::string& special_tokens);

// Records of one kind, the first of them named.
struct Tally {
  size_t count = 0;
  std::string first;
  void add(const Record& record, const std::string& token);
};
// A line for each kind there is, of so many records.
std::vector<std::string> remark_lines(const Tally& strings, const Tally& chats, size_t all);

}  // namespace temper

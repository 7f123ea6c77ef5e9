// The prompts of a file that fit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "data/records.h"

namespace temper {

// prompt_of(record) of every record; those that are empty, which the encoder dropped as longer than
// max_tokens, leave `records` too, with a warning. Throws UserError when none is left.
template <class F>
std::vector<std::vector<int64_t>> keep_fitting(std::vector<Record>& records, int64_t max_tokens,
                                               F prompt_of) {
  std::vector<std::vector<int64_t>> prompts;
  const size_t all = records.size();
  std::erase_if(records, [&](const Record& record) {
    std::vector<int64_t> prompt = prompt_of(record);
    if (prompt.empty()) return true;
    prompts.push_back(std::move(prompt));
    return false;
  });
  if (records.empty()) user_error("none of the {} prompts is within {} tokens", all, max_tokens);
  if (records.size() < all)
    log_warning("{} of {} prompts are longer than {} tokens and left out", all - records.size(), all,
                max_tokens);
  return prompts;
}

}  // namespace temper

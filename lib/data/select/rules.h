// The factories that registry.cc lists, each defined in the file of its rule, and what they share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/groups.h"
#include "data/select/select.h"

namespace temper {

std::unique_ptr<SelectOptions> select_all();
std::unique_ptr<SelectOptions> select_all_above();
std::unique_ptr<SelectOptions> select_best();
std::unique_ptr<SelectOptions> select_top();
std::unique_ptr<SelectOptions> select_pairs();
std::unique_ptr<SelectOptions> select_dedup();
std::unique_ptr<SelectOptions> select_difficulty();
std::unique_ptr<SelectOptions> select_dsir();
std::unique_ptr<SelectOptions> select_buffer();
std::unique_ptr<SelectOptions> select_openings();
std::unique_ptr<SelectOptions> select_step_prefixes();
std::unique_ptr<SelectOptions> select_step_values();
std::unique_ptr<SelectOptions> select_contrast();
std::unique_ptr<SelectOptions> select_self_play();
std::unique_ptr<SelectOptions> select_feedback();

// The answers that have a reward, by their prompts; prompts without any left are left out. Reports "prompts",
// "answers", and "without_reward", how many of these. Throws UserError, naming the rule, when no answer has
// one.
std::vector<AnswerGroup> rewarded_groups(const std::vector<Record>& records, const std::string& rule,
                                         SelectContext& context);

}  // namespace temper

// The factories that inputs.cc lists; each is defined in the file of its transform.
#pragma once

#include <memory>

#include "task/sft/inputs.h"

namespace temper {

std::unique_ptr<InputOptions> filter_input();
std::unique_ptr<InputOptions> conditional_input();
std::unique_ptr<InputOptions> neftune_input();
std::unique_ptr<InputOptions> masked_thought_input();
std::unique_ptr<InputOptions> bash_input();
std::unique_ptr<InputOptions> rac_input();
std::unique_ptr<InputOptions> leti_input();
std::unique_ptr<InputOptions> ilf_input();

}  // namespace temper

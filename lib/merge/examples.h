// Records as examples, for what a merge learns or measures.
#pragma once

#include <string>
#include <vector>

#include "data/records.h"

namespace temper {

struct ExampleFiles {
  std::vector<std::string> files;  // JSONL, as supervised fine-tuning reads it
  int64_t limit = 0;               // the first records; 0: all
  int64_t max_tokens = 1024;       // longer ones are cut from the right
  bool prompts = false;            // records of prompts alone are texts, too
};

// In the words of the folder's tokenizer and chat template; those without a target are left out. Throws
// UserError when nothing is left.
std::vector<Example> read_examples(const std::string& folder, const ExampleFiles& from);

}  // namespace temper

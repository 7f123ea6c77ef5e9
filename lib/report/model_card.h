// The README.md of a model that a run leaves: where it comes from, how it was trained, what was measured, how
// to load it.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace temper {

// What the run's own files do not say.
struct CardFacts {
  std::string method = {};  // "GRPO: ... (Shao et al., arXiv 2402.03300)"
  bool adapter = false;     // an adapter folder, to be put on the base
  bool peft = true;         // ... that PEFT loads
  std::string scores = {};  // of a reward model: what it says of a text, in place of writing one
};

// Markdown with the front matter that model hubs read. Reads config.json and metrics.jsonl of the run folder,
// and the README.md of the base model, whose licence the card repeats. The same run gives the same bytes,
// whatever its folder is called, how long it took and how often it was continued. Throws UserError when a
// file is broken.
std::string model_card(const std::string& run_folder, const CardFacts& facts);

}  // namespace temper

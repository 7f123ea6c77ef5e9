// Rewards of the reference model's answers, which transforms of rewards compare completions with
// (reward/transform/reference.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "run/state.h"

namespace temper {

class Session;

// A prompt whose reference answers are asked for. What it points at must outlive the call.
struct ReferencePrompt {
  int64_t record = 0;
  const std::vector<int64_t>* ids = nullptr;
  std::string text;
  const Json* columns = nullptr;
};

// Adds to `known` the rewards of those records that it lacks: as many answers of the reference model as the
// transforms want, sampled as the task samples, scored by the rewards that have such transforms. Nothing
// where none has. known: of the run's state, either that of data.train or that of data.eval, which have
// random streams of their own. What is known stays, so a run that was killed goes on with the same numbers. A
// signal waits until it is done, as no checkpoint may be written while the adapter is off.
void add_reference_scores(Session& session, const std::vector<ReferencePrompt>& prompts,
                          RunState::ReferenceScores& known);

}  // namespace temper

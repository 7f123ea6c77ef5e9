// Where a run's time goes: seconds by phase, by the clock of the process that writes the run folder.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "run/metrics.h"

namespace temper {

// In the order in which they are shown. What a phase is the time of:
enum class Phase {
  kStart,       // weights, tokenizer and checkpoint, up to the first step
  kData,        // reading, encoding and packing of records
  kGenerate,    // decoding, of whatever model
  kReward,      // waiting for scores
  kForward,     // passes of the policy, of references and teachers, and the loss
  kHead,        // log-probs from the final hidden states, and gradients that are computed with them
  kBackward,    // with the sum of gradients over the ranks
  kOptimizer,   // norm, clipping, the update, the working copy of the weights
  kEvaluation,  // held-out figures, with all that they decode, score and compute
  kCheckpoint,  // checkpoints and final/
  kOther        // the rest of the steps
};
constexpr size_t kPhases = static_cast<size_t>(Phase::kOther) + 1;
const char* phase_name(Phase phase);  // "generate"
// Among the times of a metrics row: "phase/generate".
inline constexpr const char* kPhasePrefix = "phase/";
std::string phase_key(Phase phase);

// At any moment the time is one phase's: that of the innermost one that was entered, so that a phase inside
// another stops the other's clock, and all phases together are the whole. What is entered within an
// evaluation or a checkpoint is part of it. Of work beside the step, such as a reward that scores while
// others are decoded, what the step waits for is counted, and no more. These are the host's times: where an
// accelerator computes, a phase ends when its work has been handed over, and whoever asks for a number waits
// for all before it. For one thread; reading the clock is all it costs.
class PhaseClock {
 public:
  using Now = std::function<std::chrono::steady_clock::time_point()>;
  explicit PhaseClock(Now now = std::chrono::steady_clock::now);

  // While it lives, the time is the phase's.
  class Span {
   public:
    Span(PhaseClock& clock, Phase phase) : clock_(clock), before_(clock.change(phase)) {}
    ~Span() { clock_.change_back(before_); }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    PhaseClock& clock_;
    Phase before_;
  };
  [[nodiscard]] Span in(Phase phase) { return {*this, phase}; }
  // Whose the time is that is no entered phase's: kStart until it is told another.
  void rest_is(Phase phase);

  // Seconds since the last call, or the beginning, of the phases that had some, by phase_key().
  NamedValues take();

 private:
  Phase change(Phase phase);
  void change_back(Phase before);
  void stop();  // the time until now is the running phase's

  Now now_;
  std::chrono::steady_clock::time_point since_;
  Phase running_ = Phase::kStart, rest_ = Phase::kStart;
  std::array<double, kPhases> seconds_{};
};

// Of rows of metrics.jsonl, and of what came after them: seconds of each phase that has some, in the order
// that they are shown in.
std::vector<std::pair<Phase, double>> phase_seconds(const std::vector<MetricsRow>& rows,
                                                    const NamedValues& after = {});

// For people: "time: generate 31 %, forward 18 %, other 2 % of 4m 12s"; "" of no time.
std::string phase_line(const std::vector<std::pair<Phase, double>>& seconds);

}  // namespace temper

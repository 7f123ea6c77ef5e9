#include "run/phases.h"

#include <fmt/format.h>

#include <cmath>

#include "base/progress.h"

namespace temper {

const char* phase_name(Phase phase) {
  static constexpr const char* kNames[kPhases] = {"start",      "data",       "generate", "reward",
                                                  "forward",    "head",       "backward", "optimizer",
                                                  "evaluation", "checkpoint", "other"};
  return kNames[static_cast<size_t>(phase)];
}

std::string phase_key(Phase phase) {
  return std::string(kPhasePrefix) + phase_name(phase);
}

PhaseClock::PhaseClock(Now now) : now_(std::move(now)), since_(now_()) {}

void PhaseClock::stop() {
  const auto now = now_();
  seconds_[static_cast<size_t>(running_)] += std::chrono::duration<double>(now - since_).count();
  since_ = now;
}

Phase PhaseClock::change(Phase phase) {
  const Phase before = running_;
  if (before == Phase::kEvaluation || before == Phase::kCheckpoint) return before;
  stop();
  running_ = phase;
  return before;
}

void PhaseClock::change_back(Phase before) {
  if (running_ == before) return;
  stop();
  running_ = before;
}

void PhaseClock::rest_is(Phase phase) {
  stop();
  if (running_ == rest_) running_ = phase;
  rest_ = phase;
}

NamedValues PhaseClock::take() {
  stop();
  NamedValues out;
  for (size_t i = 0; i < kPhases; ++i)
    if (seconds_[i] > 0) out.emplace_back(phase_key(static_cast<Phase>(i)), seconds_[i]);
  seconds_.fill(0);
  return out;
}

std::vector<std::pair<Phase, double>> phase_seconds(const std::vector<MetricsRow>& rows,
                                                    const NamedValues& after) {
  std::array<double, kPhases> sums{};
  const auto add = [&](const NamedValues& times) {
    for (const auto& [key, value] : times) {
      for (size_t i = 0; i < kPhases; ++i)
        if (std::isfinite(value) && key == phase_key(static_cast<Phase>(i))) sums[i] += value;
    }
  };
  for (const MetricsRow& row : rows) add(row.time);
  add(after);
  std::vector<std::pair<Phase, double>> out;
  for (size_t i = 0; i < kPhases; ++i)
    if (sums[i] > 0) out.emplace_back(static_cast<Phase>(i), sums[i]);
  return out;
}

std::string phase_line(const std::vector<std::pair<Phase, double>>& seconds) {
  double all = 0;
  for (const auto& [phase, s] : seconds) all += s;
  if (all <= 0) return "";
  std::string out;
  for (const auto& [phase, s] : seconds)
    out += fmt::format("{} {} {:.{}f} %", out.empty() ? "time:" : ",", phase_name(phase), 100 * s / all,
                       s < 0.0095 * all ? 1 : 0);
  return out + " of " + format_duration(all);
}

}  // namespace temper

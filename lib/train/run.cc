#include <tuple>

#include "base/error.h"
#include "base/failure.h"
#include "reward/references.h"
#include "report/report.h"
#include "train/tasks.h"

namespace temper {

namespace {

// What the rewards cannot score is known before the first step, of prompts that are sampled and held-out
// ones.
void check_rewards(Session& s) {
  if (s.rewards == nullptr) return;
  const bool samples = s.config.task == "rl" || samples_pairs(s.config);
  for (const auto& [used, records, what] : {std::tuple{samples, &s.train_records, "data.train"},
                                            {s.config.eval.every > 0, &s.eval_records, "data.eval"}}) {
    if (!used) continue;
    for (const std::string& line : check_references(*s.rewards, *records, what))
      s.progress->message(line, LogLevel::kWarning);
  }
}

}  // namespace

void run_training(const RunConfig& config, const RunOptions& options) {
  Session session(config, options);
  try {
    check_rewards(session);
    if (config.task == "sft")
      train_sft(session);
    else if (config.task == "preference")
      train_preference(session);
    else if (config.task == "distill")
      train_distill(session);
    else if (config.task == "reward_model")
      train_reward_model(session);
    else
      train_rl(session);
    session.finish();
  } catch (const std::exception& e) {
    const bool told = dynamic_cast<const UserError*>(&e) != nullptr;
    const std::string why = told ? e.what() : machine_failure(e);
    if (!why.empty()) write_report(config.run, {"failed", why});
    throw;
  }
}

}  // namespace temper

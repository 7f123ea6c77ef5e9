#include "base/error.h"
#include "base/failure.h"
#include "train/report.h"
#include "train/tasks.h"

namespace temper {

void run_training(const RunConfig& config, const RunOptions& options) {
  Session session(config, options);
  try {
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

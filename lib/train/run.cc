#include "base/error.h"
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
  } catch (const UserError& e) {
    write_report(config.run, {"failed", e.what()});
    throw;
  }
  session.finish();
}

}  // namespace temper

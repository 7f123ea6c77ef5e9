#include "train/run.h"

#include <tuple>

#include "base/error.h"
#include "base/failure.h"
#include "env/introduce.h"
#include "report/report.h"
#include "reward/references.h"

namespace temper {

namespace {

// What the rewards and the environment cannot judge is known before the first step, of prompts that are
// sampled and held-out ones.
void check_records(Session& s) {
  const bool samples = s.config.task->scores_samples();
  const DataSection& data = s.config.data;
  for (const auto& [used, records, what] : {std::tuple{samples, &s.train_records, data.train_field()},
                                            {s.config.eval.every > 0, &s.eval_records, data.eval_field()}}) {
    if (!used) continue;
    std::vector<std::string> lines;
    if (s.rewards != nullptr) lines = check_references(*s.rewards, *records, what);
    if (s.environment != nullptr)
      lines.push_back(check_records(*s.environment, records->held("the environment"), what));
    for (const std::string& line : lines) {
      if (!line.empty()) s.progress->message(line, LogLevel::kWarning);
    }
  }
}

}  // namespace

void run_training(const RunConfig& config, const RunOptions& options) {
  config.task->run(config, options);
  if (options.ranks != nullptr) options.ranks->end();
}

void run_one_training(const RunConfig& config, const RunOptions& options) {
  Session session(config, options);
  try {
    check_records(session);
    config.task->train(session);
    session.finish();
  } catch (const std::exception& e) {
    const bool told = dynamic_cast<const UserError*>(&e) != nullptr;
    const std::string why = told ? e.what() : machine_failure(e);
    if (!why.empty() && session.ranks.first()) write_report(config.run, {"failed", why});
    throw;
  }
}

}  // namespace temper

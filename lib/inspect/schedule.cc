#include "base/error.h"
#include "base/file.h"
#include "inspect/inspect.h"
#include "optim/refined.h"
#include "report/svg.h"
#include "task/registry.h"
#include "train/config.h"

namespace temper {

Json inspect_schedule(const std::string& file, const std::vector<std::string>& sets,
                      const std::string& output) {
  RunConfig config(task_registry());
  load_run_config(config, file, sets);
  constexpr int64_t kShown = 10'000'000;
  if (config.updates() > kShown)
    user_error("{}: {} updates, and a list of at most {} can be shown", file, config.updates(), kShown);
  Series rates{.name = "learning rate"};
  for (int64_t step = 0; step < config.updates(); ++step) {
    rates.x.push_back(static_cast<double>(step + 1));
    rates.y.push_back(config.optimizer->lr * config.schedule->factor(step, config.updates()));
  }
  const Json out = {{"schedule", config.schedule_name}, {"updates", config.updates()}, {"lr", rates.y}};
  if (!output.empty()) {
    const Chart chart{.title = fmt::format("{}: learning rate over {} updates of {}", config.schedule_name,
                                           config.updates(), file),
                      .series = {std::move(rates)},
                      .x_name = "update"};
    write_file_atomic(output, render_svg_file(chart));
  }
  return out;
}

Json refine_schedule(const std::string& run, const std::string& weights, const std::string& output) {
  const auto kind = weights == "adam" ? RefinedWeights::kAdam : RefinedWeights::kSgd;
  const std::vector<double> factors = refined_factors(logged_gradient_norms(run), kind, run);
  write_schedule_file(output, run, kind, factors);
  return {{"source", run}, {"weights", weights}, {"steps", factors.size()}, {"output", output}};
}

}  // namespace temper

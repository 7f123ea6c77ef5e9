// temper-train: trains what a config says, in a run folder that can be continued.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"
#include "common.h"
#include "task/registry.h"
#include "train/config_paths.h"
#include "train/plan.h"
#include "train/run.h"

using namespace temper;

int main(int argc, char** argv) {
  CLI::App app{"Trains what CONFIG.json says. The run folder can be continued at any time.", "temper-train"};
  std::string config_file, run, resume = "auto";
  std::vector<std::string> sets;
  bool plan = false, quiet = false, accept_changed_data = false;
  app.add_option("config", config_file, "the config file (JSON, comments allowed)")->required();
  app.add_option("--set", sets, "override a field: a.b=VALUE")->type_size(1)->allow_extra_args(false);
  app.add_option("--run", run, "the run folder (overrides the config's)");
  app.add_option("--resume", resume, "auto: continue if there is something; must; never")
      ->check(CLI::IsMember({"auto", "must", "never"}));
  app.add_flag("--accept-changed-data", accept_changed_data,
               "go on although files that the run reads (data, models, caches) have changed since its start");
  app.add_flag("--plan", plan, "print the resolved config, parameters, memory and steps, and stop");
  app.add_flag("--quiet", quiet, "warnings only");
  return run_app(app, argc, argv, [&] {
    RunConfig config(task_registry());
    (plan ? load_run_config : load_startable_config)(config, config_file, sets);
    if (!run.empty()) config.run = run;
    if (plan) {
      print_text(plan_run(config).dump(2) + "\n");
      return kExitDone;
    }
    at::set_num_threads(static_cast<int>(config.threads));
    ConsoleOptions console_options;
    console_options.quiet = quiet;
    Console console(console_options);
    StopSignal stop;
    run_training(config, {resume, &stop, &console, accept_changed_data});
    console.line("done: " + config.run + "/final, " + config.run + "/report.html");
    return kExitDone;
  });
}

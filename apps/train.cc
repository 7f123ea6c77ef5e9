// temper-train: trains what a config says, in a run folder that can be continued.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/version.h"
#include "common.h"
#include "dist/launch.h"
#include "dist/ranks.h"
#include "inspect/new_config.h"
#include "sweep.h"
#include "task/registry.h"
#include "train/config_paths.h"
#include "train/plan.h"
#include "train/run.h"

using namespace temper;

namespace {

// The command line of one rank.
std::vector<std::string> without_launch_options(int argc, char** argv) {
  std::vector<std::string> out;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool ours = word == "--ranks" || word == "--restarts";
    if (ours)
      ++i;
    else if (word.rfind("--ranks=", 0) != 0 && word.rfind("--restarts=", 0) != 0)
      out.push_back(word);
  }
  return out;
}

// A config of what was given, where none is yet.
void write_new_config(NewConfig fresh, const std::string& file, const std::string& run) {
  if (fresh.files.empty() || fresh.model.empty())
    user_error("--new {}: give --data FILE and --model FOLDER", fresh.task);
  if (fs::exists(file)) user_error("{}: is there already; nothing is overwritten", file);
  // Paths in a config are relative to its folder.
  const auto seen_from_it = [&](const std::string& path) {
    const fs::path folder = fs::absolute(file).parent_path();
    return fs::path(path).is_absolute() ? path : fs::proximate(fs::absolute(path), folder).string();
  };
  fresh.run = seen_from_it(run.empty() ? "runs/" + fs::path(file).stem().string() : run);
  write_file_atomic(file, new_config(fresh, seen_from_it));
  std::fprintf(stderr, "wrote %s; start it with temper-train %s\n", file.c_str(), file.c_str());
}

// What must be the same on all ranks.
std::string rank_settings(const RunConfig& config) {
  return fmt::format("version {}\n{}", version(), dump_fields(config).dump(2));
}

// The other ranks hear why this one ends.
void train_as(Ranks& ranks, const RunConfig& config, const RunOptions& options) {
  try {
    run_training(config, options);
  } catch (const PeerLost&) {
    throw;
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& e) {
    ranks.leave(e.what());
    throw;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains what CONFIG.json says. The run folder can be continued at any time.", "temper-train"};
  std::string config_file, run, resume = "auto";
  std::vector<std::string> sets, sweep;
  LaunchOptions launch{.ranks = 0};
  bool plan = false, quiet = false, accept_changed_data = false;
  NewConfig fresh;
  app.add_option("config", config_file, "the config file (JSON, comments allowed)")->required();
  auto* new_option =
      app.add_option("--new", fresh.task,
                     "write CONFIG for --data and --model, and stop: sft, preference, reward_model or rl");
  app.add_option("--data", fresh.files, "with --new: files of data")->type_size(1)->needs(new_option);
  app.add_option("--model", fresh.model, "with --new: a model folder")->needs(new_option);
  app.add_option("--set", sets, "override a field: a.b=VALUE")->type_size(1)->allow_extra_args(false);
  auto* sweep_option =
      app.add_option(
             "--sweep", sweep,
             "a.b=V1,V2,...: a run for each value, and of several for each combination, in folders below the "
             "run's with a page that compares them")
          ->type_size(1)
          ->allow_extra_args(false);
  app.add_option("--run", run, "the run folder (overrides the config's)");
  app.add_option("--resume", resume, "auto: continue if there is something; must; never")
      ->check(CLI::IsMember({"auto", "must", "never"}));
  app.add_flag("--accept-changed-data", accept_changed_data,
               "go on although files that the run reads (data, models, caches) have changed since its start");
  app.add_option("--ranks", launch.ranks,
                 "train in so many processes on this machine, which share the work of each step")
      ->excludes(sweep_option);
  app.add_option("--restarts", launch.restarts, "with --ranks: how often all begin again when one was lost");
  app.add_flag("--plan", plan,
               "print the resolved config, parameters, memory (of a rank, with --ranks) and steps, and stop")
      ->excludes(sweep_option);
  app.add_flag("--quiet", quiet, "warnings only");
  return run_app(app, argc, argv, [&]() -> int {
    if (app.count("--ranks") > 0 && !plan) return launch_ranks(launch, without_launch_options(argc, argv));
    const Place place = find_place(process_variables());
    if (const auto gpu = own_gpu(place, process_variables()("CUDA_VISIBLE_DEVICES")))
      setenv("CUDA_VISIBLE_DEVICES", gpu->c_str(), /*overwrite=*/1);
    if (!fresh.task.empty()) {
      write_new_config(fresh, config_file, run);
      return kExitDone;
    }
    if (!sweep.empty()) {
      Console console({.quiet = quiet});
      const StopSignal stop;
      train_sweep({config_file, run, resume, sets, sweep, accept_changed_data}, stop, console);
      return kExitDone;
    }
    RunConfig config(task_registry());
    const bool planned = plan && launch.ranks > 0;  // the ranks that would be started here
    (plan ? load_run_config : load_startable_config)(config, config_file, sets,
                                                     planned ? launch.ranks : place.local_world);
    if (!run.empty()) config.run = run;
    if (plan) {
      print_text(config.task->plan(config, planned ? launch.ranks : place.world).dump(2) + "\n");
      return kExitDone;
    }
    at::set_num_threads(static_cast<int>(config.threads));
    ConsoleOptions console_options;
    console_options.quiet = quiet || place.rank > 0;
    Console console(console_options);
    StopSignal stop;
    try {
      Ranks ranks(place, rank_settings(config));
      train_as(ranks, config, {resume, &stop, &console, accept_changed_data, &ranks});
      if (ranks.first()) console.line("done: " + config.run + "/final, " + config.run + "/report.html");
      return kExitDone;
    } catch (const PeerLost& e) {
      std::fprintf(stderr, "temper-train: %s; start the run again and it goes on from its last checkpoint\n",
                   e.what());
      return kExitRetry;
    }
  });
}

// Self-training in rounds: a round's phases make data with the newest model, choose from it, train on it and
// evaluate, one after the other; what a phase left is a file that the next one reads. Each phase has a folder
// and is done once. One that was interrupted goes on where its own files stand: a training from its last
// checkpoint, sampling from its last part, and the rest from the beginning, with the same draws; so a run
// that was killed ends with the same bytes.
#include "base/error.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/progress.h"
#include "report/report.h"
#include "run/folder.h"
#include "task/rounds/config.h"
#include "task/rounds/folder.h"
#include "train/config_paths.h"

namespace temper {
namespace {

// What a phase's figure is called in the metrics: evaluations that have no name of their own keep theirs, as
// the report looks for them.
std::string metric_name(const PhaseEntry& phase, const PhaseFigure& figure) {
  return phase.name == "evaluate" ? figure.name : phase.name + "/" + figure.name;
}

// A round's figures as rows of metrics.jsonl: those of evaluations, and the others.
void add_rows(const RoundsTask& task, const RoundsFolder& done, int64_t round, std::string& rows) {
  MetricsRow train, eval;
  train.step = eval.step = round;
  eval.split = "eval";
  for (size_t i = 0; i < task.phases.size(); ++i) {
    const auto result = done.result(round, i);
    if (!result) continue;
    const PhaseEntry& phase = task.phases[i];
    MetricsRow& row = phase.options->evaluates() ? eval : train;
    for (const PhaseFigure& f : result->figures) row.values.emplace_back(metric_name(phase, f), f.value);
    const auto headline = std::find_if(result->figures.begin(), result->figures.end(), [](const auto& f) {
      return f.name == "accuracy" || f.name == "reward";
    });
    if (phase.name == "evaluate" && headline != result->figures.end() && headline->low) {
      row.values.emplace_back("low", *headline->low);
      row.values.emplace_back("high", *headline->high);
    }
  }
  for (const MetricsRow* row : {&train, &eval})
    if (!row->values.empty()) rows += dump_line(to_json(*row)) + "\n";
}

// metrics.jsonl follows from what the phases left.
void write_metrics(const std::string& run, const RoundsTask& task, const RoundsFolder& done) {
  std::string rows;
  for (int64_t round = 0; round <= task.rounds; ++round) add_rows(task, done, round, rows);
  write_file_atomic(run + "/" + MetricsLog::kMetricsFile, rows);
}

RunFolder open_folder(const RunConfig& config, const RunOptions& options) {
  const std::string& run = config.run;
  std::string resume = options.resume;
  if (resume == "must") {  // a run in rounds has no checkpoints of its own
    if (!fs::exists(run + "/rounds")) user_error("{}: no run to resume here", run);
    resume = "auto";
  }
  return open_run_folder(run, dump_fields(config), config_paths(config), resume, options.accept_changed_data,
                         [&](const Json& before) { return completed_config(before, *config.tasks); });
}

// final/ is the newest model.
void write_final(const std::string& run, const std::string& model) {
  const std::string whole = run + "/final", fresh = whole + ".tmp";
  fs::remove_all(fresh);
  fs::copy(model, fresh, fs::copy_options::recursive);
  fs::remove_all(whole);
  fs::rename(fresh, whole);
}

}  // namespace

void RoundsTask::run(const RunConfig& config, const RunOptions& options) const {
  Ranks alone;
  Ranks& ranks = options.ranks == nullptr ? alone : *options.ranks;
  RunFolder folder;
  if (ranks.first()) folder = open_folder(config, options);
  ranks.from_first("");
  const RoundsFolder done(config.run, *this);
  const auto say = [&](const std::string& state, const std::string& note) {
    if (ranks.first()) write_report(config.run, {state, note});
  };
  try {
    for (int64_t round = 0; round <= rounds; ++round) {
      for (size_t i = 0; i < phases.size(); ++i) {
        const PhaseEntry& phase = phases[i];
        if (!phase.runs_in(round)) continue;
        if (done.result(round, i)) continue;
        PhaseWork work{config, *this, options, done, ranks, round, i, done.phase_folder(round, i)};
        if (ranks.first()) {
          fs::create_directories(work.folder);
          remove_leftovers(work.folder);
          remove_leftovers(work.folder + "/run");
        }
        ranks.from_first("");
        if (options.stop != nullptr && options.stop->pending() != 0 && ranks.alone())
          throw Interrupted(options.stop->pending());
        const PhaseResult result = phase.options->run(work);
        if (ranks.first()) {
          done.write_result(round, i, result);
          write_metrics(config.run, *this, done);
          if (keep_models > 0) done.forget_models(keep_models, round, i + 1);
        }
        ranks.from_first("");
        say("running", "");
      }
    }
    // Once more, as what is to be forgotten stands until after its phase is done.
    if (ranks.first() && keep_models > 0) done.forget_models(keep_models, rounds, phases.size());
    if (ranks.first()) write_final(config.run, done.last_model(config.model.path, rounds, phases.size()));
    say("finished", "");
  } catch (const Interrupted&) {
    say("stopped", "it goes on with the same command");
    throw;
  } catch (const std::exception& e) {
    const bool told = dynamic_cast<const UserError*>(&e) != nullptr;
    const std::string why = told ? e.what() : machine_failure(e);
    if (!why.empty()) say("failed", why);
    throw;
  }
}

}  // namespace temper

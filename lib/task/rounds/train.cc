// train: a whole training of any task on the lines that earlier phases left. Its config is a part of the
// rounds' config and has what that says of seed, threads, device, model and data where it says nothing else.
#include <algorithm>

#include "adapter/merge.h"
#include "base/config_layers.h"
#include "base/error.h"
#include "base/file.h"
#include "task/rounds/config.h"
#include "task/rounds/folder.h"
#include "task/rounds/phases.h"
#include "train/config_paths.h"
#include "train/plan.h"
#include "train/run.h"

namespace temper {
namespace {

constexpr const char* kDataFile = "data.jsonl";

struct TrainOptions : PhaseOptions {
  ConfigPart part;
  std::string from = "last", data_policy = "replace", moments = "fresh";
  std::vector<std::string> data, mix, real;

  void fields(FieldVisitor& v) override {
    v.field("config", part,
            {.help = "the config of the training, but for its data, model and run; what is left out of seed, "
                     "threads, device, model, data and rewards is as the rounds' own",
             .required = true});
    v.field("data", data,
            {.help = "the phases whose lines are trained on; left out: the phase before that leaves lines"});
    v.field("data_policy", data_policy,
            {.help = "replace: this round's lines; accumulate: the real data and the lines of all rounds up "
                     "to this one; keep_real: the real data and this round's (arXiv 2404.01413)",
             .choices = {"replace", "accumulate", "keep_real"}});
    if (data_policy != "replace")
      v.field("real", real, {.help = "files of the real data; left out: data.train", .path = true});
    v.field("mix", mix,
            {.help = "further files to train on, behind the lines in the config's data.train: data.weights "
                     "say how much of each",
             .path = true});
    v.field("from", from,
            {.help = "what is trained: the model that was trained last, the one the run starts from, or the "
                     "one that the round began with, for trainings side by side",
             .choices = {"last", "base", "round"}});
    v.field(
        "moments", moments,
        {.help = "the optimizer's state at the start: fresh, or kept from the training of this name before",
         .choices = {"fresh", "keep"}});
  }
  void check_phase(const RunConfig& config, size_t index, const std::string& where,
                   std::vector<std::string>& problems) const override;
  void resolve(const RunConfig& config, size_t index) override {
    const auto& task = static_cast<const RoundsTask&>(*config.task);
    const auto before = task.lines_before(index);
    if (data.empty() && before) data = {task.phases[*before].name};
    if (data_policy != "replace" && real.empty()) real = config.data.train;
  }
  std::vector<NamedPath> further_paths(const RunConfig& config) const override;
  Json plan(const RunConfig& config, int64_t ranks) const override {
    RunConfig inner(*config.tasks);
    load(config, {.run = config.run, .model = config.model.path, .train = "data.jsonl"}, inner);
    return inner.task->plan(inner, ranks);
  }
  PhaseResult run(PhaseWork& work) const override;

 private:
  struct Places {
    std::string run, model, train;
    uint64_t seed = 1;
  };
  void read(const RunConfig& config, const Places& places, RunConfig& inner) const;
  void load(const RunConfig& config, const Places& places, RunConfig& inner) const {
    read(config, places, inner);
    resolve_run_config(inner, places.run);
  }
  std::vector<std::string> lines(const PhaseWork& w) const;
};

// What a training has from the config around it.
Json inherited(const RunConfig& config, const Json& part) {
  const Json all = dump_fields(config);
  Json out = Json::object();
  for (const char* name : {"seed", "device", "threads", "model", "data"})
    if (all.contains(name)) out[name] = all[name];
  for (const char* name : {"train", "make"}) out["data"].erase(name);
  const auto* entry = part.contains("task") && part["task"].is_string()
                          ? config.tasks->find(part["task"].get<std::string>())
                          : nullptr;
  if (entry != nullptr) out["task"] = part["task"];  // which says what sections there are
  if (entry != nullptr && !entry->make()->rewards_help().empty()) {
    for (const char* name : {"rewards", "combine"})
      if (all.contains(name)) out[name] = all[name];
  }
  return out;
}

// The layers of the training's config, the nearest last. Throws UserError.
void TrainOptions::read(const RunConfig& config, const Places& places, RunConfig& inner) const {
  Json train = Json::array();
  if (!places.train.empty()) train.push_back(places.train);
  for (const std::string& file : mix) train.push_back(file);
  const Json here{{"seed", places.seed},
                  {"model", {{"path", places.model}}},
                  {"data", {{"train", std::move(train)}}},
                  {"run", places.run}};
  read_layers(inner, {{inherited(config, *part.json), "the rounds' config", ""},
                      {*part.json, "config", part.folder},
                      {here, "the phase", ""}});
}

void TrainOptions::check_phase(const RunConfig& config, size_t index, const std::string& where,
                               std::vector<std::string>& problems) const {
  const auto& task = static_cast<const RoundsTask&>(*config.task);
  task.check_names(data, where + ".data", problems);
  if (data.empty() && mix.empty() && !task.lines_before(index))
    problems.push_back(where +
                       ".data: no phase before this one leaves lines to train on, and there is no \"mix\"");
  if (data_policy != "replace" && real.empty() && config.data.train.empty())
    problems.push_back(where + ".real: data_policy \"" + data_policy + "\" needs the real data's files");
  if (part.json == nullptr) return;
  const std::string inside = where + ".config";
  for (const char* name : {"run", "seed"})
    if (part.json->contains(name))
      problems.push_back(fmt::format("{}.{}: follows from the rounds' own", inside, name));
  const auto given = [&](const char* section, const char* name) {
    const auto it = part.json->find(section);
    return it != part.json->end() && it->is_object() && it->contains(name);
  };
  if (given("data", "train") || given("data", "make"))
    problems.push_back(inside +
                       ".data: the lines of the phases in \"data\" are trained on; more go into \"mix\"");
  if (given("model", "path")) problems.push_back(inside + ".model.path: \"from\" says what is trained");
  if (part.json->contains("task") && (*part.json)["task"] == config.task_name) {
    problems.push_back(inside + ".task: rounds do not go into rounds");
    return;
  }
  RunConfig inner(*config.tasks);
  try {
    read(config, {.run = "run", .model = config.model.path, .train = "data.jsonl"}, inner);
  } catch (const UserError& e) {
    const std::string text = e.what();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      problems.push_back(where + "." + text.substr(at, end - at));
      at = end + 1;
    }
  }
}

std::vector<NamedPath> TrainOptions::further_paths(const RunConfig& config) const {
  if (part.json == nullptr) return {};
  RunConfig inner(*config.tasks);
  try {
    read(config, {.run = "run", .model = config.model.path, .train = ""}, inner);
  } catch (const UserError&) {
    return {};  // check_phase says what is wrong
  }
  std::vector<NamedPath> out;
  for (NamedPath& path : config_paths(inner))
    if (path.field != "data.train" && path.field != "data.eval" && path.field != "model.path")
      out.push_back({"config." + path.field, path.path});
  return out;
}

// The files whose lines make the training's data.
std::vector<std::string> TrainOptions::lines(const PhaseWork& w) const {
  std::vector<std::string> out;
  if (data_policy != "replace") out = real;
  for (const std::string& name : data) {
    if (data_policy == "accumulate") {
      for (std::string& file : w.done.all_lines(name, w.round, w.index)) out.push_back(std::move(file));
    } else {
      out.push_back(w.done.lines(name, w.round, w.index));
    }
  }
  return out;
}

double last_value(const std::vector<MetricsRow>& rows, const std::string& split, const std::string& name) {
  for (auto row = rows.rbegin(); row != rows.rend(); ++row)
    if (row->split == split && row->find(name)) return *row->find(name);
  return std::nan("");
}

// What the training's own metrics ended with.
std::vector<PhaseFigure> last_figures(const std::string& run) {
  const std::vector<MetricsRow> rows = read_metrics(run + "/" + MetricsLog::kMetricsFile);
  std::vector<PhaseFigure> out;
  for (const auto& [split, name, shown] : {std::tuple{"train", "loss", "loss"},
                                           {"train", "reward", "reward"},
                                           {"eval", "loss", "held_out_loss"},
                                           {"eval", "accuracy", "held_out_accuracy"}}) {
    const double value = last_value(rows, split, name);
    if (std::isfinite(value)) out.push_back({shown, value});
  }
  return out;
}

// The trained model as a folder within the phase's: an adapter is merged into what it was trained on.
std::string whole_model(const PhaseWork& w, const std::string& base) {
  const std::string trained = "run/final", merged = "model";
  if (!fs::exists(w.folder + "/" + trained + "/adapter_config.json")) return trained;
  const std::string to = w.folder + "/" + merged;
  if (w.ranks.first() && !fs::exists(to)) {
    merge_folder(base, w.folder + "/" + trained, to + ".tmp", std::nullopt);
    fs::rename(to + ".tmp", to);
  }
  return merged;
}

PhaseResult TrainOptions::run(PhaseWork& w) const {
  const std::string run = w.folder + "/run", base = w.config.model.path;
  const std::string model =
      from == "base" ? base : w.done.last_model(base, w.round, from == "round" ? 0 : w.index);
  std::vector<Record> records;
  for (const std::string& name : lines(w)) {
    const std::vector<Record> some = read_lines(name);
    records.insert(records.end(), some.begin(), some.end());
  }
  if (records.empty() && mix.empty())
    user_error("{}: there is nothing to train on: the phases {} left no lines", w.where(),
               fmt::join(data, ", "));
  const std::string file = records.empty() ? "" : w.folder + "/" + kDataFile;
  if (w.ranks.first() && !file.empty() && !fs::exists(file)) write_lines(file, records);
  w.ranks.from_first("");

  RunConfig inner(*w.config.tasks);
  load(w.config, {.run = run, .model = model, .train = file, .seed = w.seed("train")}, inner);
  if (!fs::exists(run + "/final")) {
    RunOptions options = w.options;
    options.resume = "auto";
    options.ranks = &w.ranks;
    if (moments == "keep")
      options.moments_from = w.done.last_training(w.task.phases[w.index].name, w.round, w.index);
    w.say(fmt::format("{}: {} on {} lines", w.where(), inner.task_name, records.size()));
    inner.task->run(inner, options);
  }
  PhaseResult out;
  out.figures = last_figures(run);
  out.figures.insert(out.figures.begin(), {"lines", static_cast<double>(records.size())});
  out.model = whole_model(w, model);
  w.ranks.from_first("");
  return out;
}

}  // namespace

std::unique_ptr<PhaseOptions> train_phase() {
  return std::make_unique<TrainOptions>();
}

}  // namespace temper

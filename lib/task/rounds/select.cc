// select: of the lines that earlier phases left, those to learn next, by a rule of data/select.
#include "data/select/select.h"

#include <set>

#include "base/error.h"
#include "task/rounds/config.h"
#include "task/rounds/folder.h"
#include "task/rounds/phases.h"

namespace temper {
namespace {

struct SelectPhase : PhaseOptions {
  std::vector<std::string> from;
  std::string rule_kind = "best", options_from;
  std::unique_ptr<SelectOptions> rule;

  void fields(FieldVisitor& v) override {
    v.field("from", from,
            {.help = "the phases whose lines are chosen from; left out: the phase before that leaves lines"});
    v.choice("rule", "kind", rule, rule_kind, select_registry(), "what is chosen");
    v.field("options_from", options_from,
            {.help = "a phase \"tune\" whose chosen threshold stands over the rule's"});
  }
  void check_phase(const RunConfig& config, size_t index, const std::string& where,
                   std::vector<std::string>& problems) const override {
    const auto& task = static_cast<const RoundsTask&>(*config.task);
    task.check_names(from, where + ".from", problems);
    if (from.empty() && !task.lines_before(index))
      problems.push_back(where + ".from: no phase before this one leaves lines to choose from");
    if (rule == nullptr) problems.push_back(where + ".rule: give one, such as {\"kind\": \"best\"}");
  }
  void resolve(const RunConfig& config, size_t index) override {
    const auto& task = static_cast<const RoundsTask&>(*config.task);
    if (from.empty()) from = {task.phases[*task.lines_before(index)].name};
  }
  bool writes_lines() const override { return true; }

  PhaseResult run(PhaseWork& w) const override {
    std::vector<Record> in;
    for (const std::string& name : from) {
      const std::vector<Record> lines = read_lines(w.done.lines(name, w.round, w.index));
      in.insert(in.end(), lines.begin(), lines.end());
    }
    SelectContext context{w.seed("select"), w.round - 1};
    for (const std::string& file : w.done.all_lines(w.task.phases[w.index].name, w.round, w.index)) {
      const std::vector<Record> lines = read_lines(file);
      context.earlier.insert(context.earlier.end(), lines.begin(), lines.end());
    }
    std::unique_ptr<SelectOptions> chosen = select_registry().find(rule_kind)->make();
    Json options = dump_fields(*rule);
    if (!options_from.empty()) {
      const Json tuned = w.done.chosen(options_from, w.round, w.index);
      for (const auto& [name, value] : tuned.at("options").items()) options[name] = value;
    }
    read_fields(*chosen, options, w.where() + ": rule", "");
    const size_t all = in.size();
    std::vector<Record> out = chosen->select(std::move(in), context);
    PhaseResult result;
    result.figures.push_back({"selected", static_cast<double>(out.size())});
    for (const auto& [name, value] : context.figures)
      if (name != "selected") result.figures.push_back({name, value});
    w.say(fmt::format("{}: {} lines of {} by \"{}\"", w.where(), out.size(), all, rule_kind),
          out.empty() ? LogLevel::kWarning : LogLevel::kInfo);
    if (w.ranks.first()) write_lines(w.folder + "/" + kLinesFile, out);
    return result;
  }
};

}  // namespace

std::unique_ptr<PhaseOptions> select_phase() {
  return std::make_unique<SelectPhase>();
}

}  // namespace temper

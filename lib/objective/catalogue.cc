#include "objective/catalogue.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "objective/distill/distill.h"
#include "objective/inspect.h"
#include "objective/notes.h"
#include "objective/policy/policy.h"
#include "objective/preference/preference.h"
#include "objective/reward/reward_model.h"
#include "objective/supervised/supervised.h"

namespace temper::objective {
namespace {

Json to_json(const Definitions& definitions) {
  Json out = Json::array();
  for (const auto& [name, what] : definitions) out.push_back({{"name", name}, {"what", what}});
  return out;
}

// The value at a path of fields; null where there is none.
Json at_path(const Json& fields, const std::string& path) {
  const size_t dot = path.find('.');
  const std::string head = path.substr(0, dot);
  if (!fields.is_object() || !fields.contains(head)) return {};
  return dot == std::string::npos ? fields[head] : at_path(fields[head], path.substr(dot + 1));
}

template <class Base>
void append(Json& out, const FamilyNotes& family, const Registry<Base>& registry) {
  for (const auto& entry : registry.entries()) {
    const ObjectiveNotes notes = notes_of(family, entry.name);
    const auto preset = entry.make();
    const Json values = dump_fields(*preset);
    Json paper = Json::object();
    std::vector<std::string> departures;
    for (const PaperValue& p : notes.paper) {
      paper[p.field] = p.value;
      departures.push_back(fmt::format("{} is {}, in the paper {}: {}", p.field,
                                       at_path(values, p.field).dump(), p.value.dump(), p.why));
    }
    departures.insert(departures.end(), notes.departures.begin(), notes.departures.end());
    out.push_back({{"name", entry.name},
                   {"family", family.family},
                   {"summary", entry.summary},
                   {"source", entry.source},
                   {"equation", notes.equation},
                   {"departures", departures},
                   {"paper", paper},
                   {"metrics", to_json(notes.metrics)},
                   {"fields", describe_fields(*preset)},
                   {"inputs", objective_inputs(family.family + "/" + entry.name, Json::object())}});
  }
}

std::vector<ObjectiveId> ids() {
  std::vector<ObjectiveId> out;
  const auto append_names = [&](const char* family, const std::vector<std::string>& names) {
    for (const std::string& name : names) out.push_back({family, name});
  };
  append_names("policy", policy_registry().names());
  append_names("preference", preference_registry().names());
  append_names("supervised", supervised_registry().names());
  append_names("reward_model", reward_loss_registry().names());
  append_names("distillation", distill_registry().names());
  return out;
}

}  // namespace

ObjectiveNotes notes_of(const FamilyNotes& family, const std::string& name) {
  for (const ObjectiveNotes& n : family.objectives) {
    if (n.name == name) return n;
  }
  return {};
}

Json list_objectives() {
  Json out = Json::array();
  append(out, policy_notes(), policy_registry());
  append(out, preference_notes(), preference_registry());
  append(out, supervised_notes(), supervised_registry());
  append(out, reward_model_notes(), reward_loss_registry());
  append(out, distillation_notes(), distill_registry());
  return out;
}

Json list_objective_families() {
  Json out = Json::array();
  for (const FamilyNotes& f :
       {policy_notes(), preference_notes(), supervised_notes(), reward_model_notes(), distillation_notes()}) {
    out.push_back({{"name", f.family},
                   {"title", f.title},
                   {"summary", f.summary},
                   {"source", ""},
                   {"departures", f.departures},
                   {"metrics", to_json(f.metrics)},
                   {"fields", Json::array()}});
  }
  return out;
}

ObjectiveId find_objective(const std::string& name) {
  std::vector<ObjectiveId> found;
  std::vector<std::string> known, full;
  for (const ObjectiveId& id : ids()) {
    known.push_back(id.name);
    if (name != id.name && name != id.family + "/" + id.name) continue;
    found.push_back(id);
    full.push_back(id.family + "/" + id.name);
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1)
    user_error("objective \"{}\": several families have it; say which: {}", name, fmt::join(full, ", "));
  const std::string near = nearest_name(name.substr(name.find('/') + 1), known);
  if (!near.empty()) user_error("objective \"{}\": unknown; did you mean \"{}\"?", name, near);
  user_error("objective \"{}\": unknown; known: {}", name, fmt::join(known, ", "));
}

}  // namespace temper::objective

// What a reader wants to know of each objective: its equation, where it departs from its source on purpose,
// and what its metrics mean. The one place for these; `temper-inspect list objective` prints them and
// README.md of this folder is made of that.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace temper::objective {

using Definitions = std::vector<std::pair<std::string, std::string>>;  // name, what it is

// A field whose value in the preset is not the paper's.
struct PaperValue {
  std::string field;  // with dots in a section: "critic.warmup"
  Json value;         // the paper's
  std::string why;    // why the preset has another one
};

struct ObjectiveNotes {
  std::string name, equation;
  std::vector<std::string> departures;  // from the paper or the code that it comes from
  Definitions metrics;                  // its own, beside the family's
  std::vector<PaperValue> paper = {};   // these are departures too
};

struct FamilyNotes {
  std::string family, title, summary;   // summary also says what the symbols of the equations are
  std::vector<std::string> departures;  // of the whole family
  Definitions metrics;                  // of every objective of the family
  std::vector<ObjectiveNotes> objectives;
};

// Of a name that has none (an objective from outside of the project) they are empty.
ObjectiveNotes notes_of(const FamilyNotes& family, const std::string& name);

// Each in notes.cc of its family's folder.
FamilyNotes policy_notes();
FamilyNotes preference_notes();
FamilyNotes supervised_notes();
FamilyNotes reward_model_notes();
FamilyNotes distillation_notes();

}  // namespace temper::objective

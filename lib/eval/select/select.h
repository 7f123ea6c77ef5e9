// Test-time selection: which of a prompt's sampled answers is given.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json_fwd.h"

namespace temper {

// A sampled answer as a selector sees it; whether it is correct is hidden from it.
struct Candidate {
  std::string text;
  std::optional<std::string> answer;  // equal answers are equal strings; none: none could be read
  // What rewards said of it, by their names, and "total"; null: they could not tell.
  std::map<std::string, std::optional<double>> scores;
  bool truncated = false;  // it hit the length limit, which judges are told
};

struct Ballot {
  std::string prompt;             // as the model got it
  const Json* columns = nullptr;  // the record it came from, for judges; null: there is none
  std::vector<Candidate> candidates;
};

// Places of the candidates that are given, the first one before all; empty: none could be chosen.
using Choice = std::vector<size_t>;

struct SelectionContext {
  uint64_t seed = 1;
  std::function<void()> on_wait = {};  // called while an external judge is waited for; it may throw
};

class Selector {
 public:
  virtual ~Selector() = default;
  // One choice a ballot. What is drawn comes from RandomStream(seed, the selector's purpose, 0, index of the
  // ballot). Of equally good candidates the earliest is taken. Throws UserError when no candidate at all has
  // what the selector reads, naming it, or from a judge.
  virtual std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext& context) = 0;
  // It asks a model about candidates, so each choice costs.
  virtual bool asks() const { return false; }
};

struct SelectorOptions : Fields {
  virtual std::unique_ptr<Selector> make() const = 0;  // loads a judge; throws UserError
  // It reads answers or scores, which rewards say.
  virtual bool reads_rewards() const { return false; }
};
const Registry<SelectorOptions>& selector_registry();

// {"kind": ..., "name"?, ...the kind's own fields}.
struct SelectorEntry : Fields {
  std::string kind, name;  // name: in figures; the kind when left out
  std::unique_ptr<SelectorOptions> options;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

// The selectors that a command line names: a kind, or an object as above. Throws UserError, also when two
// have one name.
std::vector<SelectorEntry> read_selectors(const std::vector<std::string>& texts, const std::string& option);

}  // namespace temper

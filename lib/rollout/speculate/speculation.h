// Which drafts decoding makes: the options, and their kinds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fields.h"

namespace temper {

class Speculator;
struct SpeculationScene;

struct SpeculationOptions : Fields {
  int64_t draft_tokens = 8;
  void fields(FieldVisitor& v) override;
  // Throws UserError when this does not go with the model.
  virtual std::unique_ptr<Speculator> begin(const SpeculationScene& scene) const = 0;
};

// "lookup", "skip", "draft".
const Registry<SpeculationOptions>& speculation_registry();

// The speculation that a command line or a config names: a kind, an object as text, or the path of a .json
// file with one; null for none: "". `where` names it in errors. Throws UserError.
std::shared_ptr<const SpeculationOptions> read_speculation(const std::string& text, const std::string& where);

}  // namespace temper

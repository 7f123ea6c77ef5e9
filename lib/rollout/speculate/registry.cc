// Every kind of speculation.
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "rollout/speculate/draft_model.h"
#include "rollout/speculate/lookup.h"
#include "rollout/speculate/skip.h"

namespace temper {
namespace {

struct SpeculationFields : Fields {
  std::string kind;
  std::unique_ptr<SpeculationOptions> options;
  void fields(FieldVisitor& v) override {
    v.choice("speculation", "kind", options, kind, speculation_registry(), "who drafts");
  }
};

}  // namespace

void SpeculationOptions::fields(FieldVisitor& v) {
  v.field(
      "draft_tokens", draft_tokens,
      {.help = "tokens drafted at most before the model is asked", .unit = "tokens", .min = 1, .max = 256});
}

const Registry<SpeculationOptions>& speculation_registry() {
  static const Registry<SpeculationOptions> registry = [] {
    Registry<SpeculationOptions> r("speculation");
    r.add({"lookup", "what followed the text's last tokens where they stood before; the same text as without",
           "prompt look-up decoding: Saxena 2023; Yang et al. 2023, arXiv:2304.04487",
           [] { return std::make_unique<LookupOptions>(); }});
    r.add({"skip", "the model without some of its sub-layers (temper-generate --find-skips)",
           "Draft & Verify: Zhang et al. 2023, arXiv:2309.08168",
           [] { return std::make_unique<SkipOptions>(); }});
    r.add({"draft", "a smaller model of the same tokenizer", "Leviathan et al. 2022, arXiv:2211.17192",
           [] { return std::make_unique<DraftModelOptions>(); }});
    return r;
  }();
  return registry;
}

std::shared_ptr<const SpeculationOptions> read_speculation(const std::string& text,
                                                           const std::string& where) {
  if (text.empty()) return nullptr;
  const bool file = text[0] != '{' && text.size() > 5 && text.compare(text.size() - 5, 5, ".json") == 0;
  const Json options = file             ? parse_json(read_file(text), text)
                       : text[0] == '{' ? parse_json(text, where)
                                        : Json{{"kind", text}};
  SpeculationFields fields;
  read_fields(fields, {{"speculation", options}}, where, ".");
  if (!fields.options) user_error("{}: expected a kind, found an empty one", where);
  return std::move(fields.options);
}

}  // namespace temper

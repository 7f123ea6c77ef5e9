#include "rollout/speculate/skip.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "rollout/reading.h"

namespace temper {
namespace {

// Its keys and values stand behind those of the whole model, which its attention sees, until the draft is
// done; the model then computes its own.
class Skip : public DraftingSpeculator {
 public:
  Skip(const SkipOptions& options, const SpeculationScene& scene, SkippedSublayers skipped)
      : DraftingSpeculator(options, scene), skipped_(std::move(skipped)) {}

 protected:
  at::Tensor next_logits(const std::vector<Open*>& open) override {
    TokensToRead tokens;
    for (const Open* o : open) {
      DecodedSequence& s = *o->sequence;
      tokens.add(o->draft.ids.empty() ? s.ids().back() : o->draft.ids.back(), s.prompt(), s.own());
    }
    return scene_.model.logits(tokens.hidden(scene_.model, &skipped_));
  }

  // A token was read for each that was drafted.
  void drafted(const std::vector<Open>& all) override {
    for (const Open& o : all) o.sequence->own().shorten(static_cast<int64_t>(o.draft.ids.size()));
  }

 private:
  SkippedSublayers skipped_;
};

std::vector<bool> layers_of(const std::vector<double>& skipped, const char* name, int64_t layers) {
  std::vector<bool> out(static_cast<size_t>(layers));
  for (const double layer : skipped) {
    if (layer >= static_cast<double>(layers))
      user_error(
          "speculation.{}: names layer {}, but the model has layers 0 to {}; were the skips found for "
          "another model?",
          name, layer, layers - 1);
    out[static_cast<size_t>(layer)] = true;
  }
  return out;
}

}  // namespace

void SkipOptions::fields(FieldVisitor& v) {
  v.field("attention", attention, {.help = "layers whose attention is skipped in drafts, from 0"});
  v.field("mlp", mlp, {.help = "layers whose MLP is skipped in drafts, from 0"});
  DraftingOptions::fields(v);
}

void SkipOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  for (const auto& [name, list] : {std::pair("attention", &attention), std::pair("mlp", &mlp)}) {
    for (const double layer : *list) {
      if (layer < 0 || layer != std::floor(layer))
        problems.push_back(
            fmt::format("{}.{}: expected layers counted from 0, found {}", where, name, layer));
    }
  }
  if (attention.empty() && mlp.empty())
    problems.push_back(
        fmt::format("{}: skips nothing, so that a draft costs as much as the model; name layers in "
                    "attention and mlp (temper-generate --find-skips finds some)",
                    where));
}

std::unique_ptr<Speculator> SkipOptions::begin(const SpeculationScene& scene) const {
  const int64_t layers = scene.model.config().layers;
  return std::make_unique<Skip>(
      *this, scene,
      SkippedSublayers{layers_of(attention, "attention", layers), layers_of(mlp, "mlp", layers)});
}

}  // namespace temper

#include "reward/extend.h"
#include "reward/transform/beside.h"
#include "reward/transform/each_number.h"
#include "reward/transform/over_batch.h"
#include "reward/transform/reference.h"

namespace temper {
namespace {

template <class Options>
std::unique_ptr<TransformOptions> make_transform() {
  return std::make_unique<Options>();
}

}  // namespace

const Registry<TransformOptions>& transform_registry() {
  static const Registry<TransformOptions> registry = [] {
    Registry<TransformOptions> r("transform");
    r.add({"shape", "a score beside a verdict: every right completion is worth more than every wrong one",
           "Qwen2.5-Math (arXiv 2409.12122), reward shaping", make_transform<ShapeOptions>});
    r.add({"log_sigmoid", "log sigma(r - r_ref), where sums of several rewards are a logical AND",
           "Transforming and Combining Rewards for Aligning Large Language Models (arXiv 2402.00742)",
           make_transform<LogSigmoidOptions>});
    r.add({"calibrate", "the share of the initial model's answers to the prompt that are not better",
           "InfAlign (arXiv 2412.19792)", make_transform<CalibrateOptions>});
    r.add({"exp", "sign(t) e^(t r), behind calibrate for the best or the worst of several samples",
           "InfAlign (arXiv 2412.19792)", make_transform<ExpOptions>});
    r.add({"uncertainty", "little is believed where a second scorer disagrees: r e^(-|r - r'|)",
           "after Ctrl-U (arXiv 2410.11236)", make_transform<UncertaintyOptions>});
    r.add({"clip", "kept within bounds", "Temper", make_transform<ClipOptions>});
    r.add({"scale", "factor r + offset", "Temper", make_transform<ScaleOptions>});
    r.add({"z_score", "(r - mean) / std over all completions that are scored together", "Temper",
           make_transform<ZScoreOptions>});
    r.add({"quantile", "the place among all completions that are scored together, from 0 to 1", "Temper",
           make_transform<QuantileOptions>});
    extend(r);
    return r;
  }();
  return registry;
}

void TransformEntry::fields(FieldVisitor& v) {
  v.choice_here("kind", options, kind, transform_registry());
}

}  // namespace temper

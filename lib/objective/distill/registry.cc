#include "objective/distill/distill.h"

namespace temper::objective {

const Registry<DistillOptions>& distill_registry() {
  static const Registry<DistillOptions> registry = [] {
    const auto with = [](double beta, double temperature, bool scale, double ce) {
      return [=] {
        auto options = std::make_unique<DistillOptions>();
        options->beta = beta;
        options->temperature = temperature;
        options->scale_by_temperature = scale;
        options->ce_weight = ce;
        return options;
      };
    };
    Registry<DistillOptions> r("distillation loss");
    r.add({"forward_kl", "KL(teacher || student)", "Hinton et al., arXiv 1503.02531", with(0, 1, false, 0)});
    r.add({"reverse_kl", "KL(student || teacher)", "Gu et al. (MiniLLM), arXiv 2306.08543",
           with(1, 1, false, 0)});
    r.add({"gjsd", "generalised Jensen-Shannon divergence",
           "Agarwal et al. (GKD), arXiv 2306.13649; TRL 1.16", with(0.5, 1, false, 0)});
    r.add({"kd", "half cross entropy, half forward KL at temperature 2; several teachers are averaged",
           "Timiryasov & Tastet (BabyLlama), arXiv 2308.02019; BabyLlama-2, arXiv 2409.17312",
           with(0, 2, true, 0.5)});
    r.add({"sampled_kd", "cross entropy with a teacher's drawn tokens, from a file",
           "Anshumann et al. (random sampling KD), arXiv 2503.16870",
           [] { return std::make_unique<SampledOptions>(); }});
    r.add({"minillm", "policy gradient of the reverse KL on the student's own samples",
           "Gu et al. (MiniLLM), arXiv 2306.08543", [] { return std::make_unique<MiniLlmOptions>(); }});
    return r;
  }();
  return registry;
}

}  // namespace temper::objective

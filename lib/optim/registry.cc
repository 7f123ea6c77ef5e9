#include "optim/kinds.h"

namespace temper {

const Registry<OptimizerOptions>& optimizer_registry() {
  static const Registry<OptimizerOptions> registry = [] {
    Registry<OptimizerOptions> r("optimizer");
    r.add({"adamw", "Adam with decoupled weight decay, fused", "Loshchilov & Hutter, arXiv 1711.05101",
           adamw_options});
    r.add({"adamw8bit", "AdamW with moments in 8 bits, by blocks of 256",
           "Dettmers et al., arXiv 2110.02861; bitsandbytes", adamw8bit_options});
    r.add({"sgd", "stochastic gradient descent, with momentum and Nesterov's form", "torch.optim.SGD",
           sgd_options});
    r.add({"lion", "the sign of a momentum (Lion), or the gradient of another norm of it (Lion-K)",
           "Chen et al., arXiv 2302.06675; Chen et al., arXiv 2310.05898", lion_options});
    r.add({"ademamix", "Adam with a second, slow mean of the gradients",
           "Pagliardini et al., arXiv 2409.03137", ademamix_options});
    r.add({"soap", "Adam in the eigenbasis of Shampoo's statistics", "Vyas et al., arXiv 2409.11321",
           soap_options});
    r.add({"adafactor", "factored second moments, steps relative to the parameter's size",
           "Shazeer & Stern, arXiv 1804.04235", adafactor_options});
    r.add({"muon", "orthogonalised momentum for hidden matrices, AdamW for the rest",
           "Jordan et al., github.com/KellerJordan/Muon; Liu et al., arXiv 2502.16982", muon_options});
    return r;
  }();
  return registry;
}

const Registry<ScheduleOptions>& schedule_registry() {
  static const Registry<ScheduleOptions> registry = [] {
    Registry<ScheduleOptions> r("schedule");
    r.add({"constant", "1 after the warm-up", "", constant_schedule});
    r.add({"linear", "straight down to the floor", "", linear_schedule});
    r.add({"cosine", "half a cosine down to the floor", "Loshchilov & Hutter, arXiv 1608.03983",
           cosine_schedule});
    r.add({"wsd", "warm-up, stable, then decay", "Hu et al. (MiniCPM), arXiv 2404.06395", wsd_schedule});
    r.add({"inverse_sqrt", "1/sqrt(step)", "Vaswani et al., arXiv 1706.03762; Zhai et al., arXiv 2106.04560",
           inverse_sqrt_schedule});
    r.add(
        {"rewarm",
         "to continue a finished run (model.path = its final folder): from the floor up to the peak, half a "
         "cosine down to the floor",
         "Gupta et al., arXiv 2308.04014", rewarm_schedule});
    r.add({"refined", "from the gradient norms of an earlier run", "Defazio et al., arXiv 2310.07831",
           refined_schedule});
    r.add({"polynomial", "(1 - progress)^power down to the floor", "", polynomial_schedule});
    return r;
  }();
  return registry;
}

}  // namespace temper

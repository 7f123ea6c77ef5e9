// Learning rates refined from the gradient norms of an earlier run. Defazio et al., arXiv 2310.07831.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace temper {

// How a step is weighed by its gradient norm: kAdam 1/G, kSgd 1/G^2. The paper takes l1 norms for Adam and l2
// norms for SGD. Runs log the l2 norm before clipping alone; where the gradient's entries keep their
// distribution, the two differ by a factor that cancels.
enum class RefinedWeights { kAdam, kSgd };

// One factor a step of the earlier run, the largest 1, the last 0. The norms are first smoothed by a running
// median over a tenth of the run; w = weight of the norm, factor_t = w_t sum_{s > t} w_s, over the largest.
// Constant norms give linear decay: 1 - t / (T - 1). `where` names the norms in errors. Throws UserError for
// fewer than two norms and for a median that is 0 or not finite.
std::vector<double> refined_factors(const std::vector<double>& norms, RefinedWeights weights,
                                    const std::string& where);

// The "grad_norm" of each training step in a run folder's metrics.jsonl. Steps whose norm was not finite are
// left out. Throws UserError.
std::vector<double> logged_gradient_norms(const std::string& run_folder);

// {"source": run, "weights": "adam", "factors": [...]}. Reading checks that factors are at least two numbers
// within [0, 1] and throws UserError.
void write_schedule_file(const std::string& path, const std::string& source, RefinedWeights weights,
                         const std::vector<double>& factors);
std::vector<double> read_schedule_file(const std::string& path);

// `factors` at `total` evenly spaced points from the first to the last, linear in between.
std::vector<double> resampled(const std::vector<double>& factors, int64_t total);

}  // namespace temper

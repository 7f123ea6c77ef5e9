// SOAP (Vyas et al., arXiv 2409.11321; nikhilvyas/SOAP): Adam in the slowly turning eigenbasis of Shampoo's
// statistics. For a matrix L = b L + (1-b) G G^T and R = b R + (1-b) G^T G with eigenvectors Q_L and Q_R;
// Adam's second moment is kept of Q_L^T G Q_R, and p -= lr Q_L [Q_L^T M Q_R / (sqrt(v) + eps)] Q_R^T,
// bias-corrected; then p -= lr wd p. Every `frequency` steps Q follows by one power iteration and a QR. A
// parameter's first step only begins the statistics. The authors turn M with the basis and back; here it
// stays in the parameter's own basis, which is the same number for an orthogonal Q.
#include <ATen/ATen.h>

#include <cmath>

#include "optim/kinds.h"
#include "optim/state.h"

namespace temper {
namespace {

struct SoapOptions : OptimizerOptions {
  double beta1 = 0.95, beta2 = 0.95, shampoo_beta = 0.95, eps = 1e-8;
  int64_t frequency = 10, max_size = 10000;
  SoapOptions() { weight_decay = 0.01; }
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("beta1", beta1, {.help = "decay of the first moment", .min = 0, .max = 1});
    v.field("beta2", beta2, {.help = "decay of the second moment", .min = 0, .max = 1});
    v.field("shampoo_beta", shampoo_beta,
            {.help = "decay of the statistics of the sides", .min = 0, .max = 1});
    v.field("eps", eps, {.help = "added to the root of the second moment", .min = 0});
    v.field("frequency", frequency,
            {.help = "steps between two refreshes of the basis", .unit = "steps", .min = 1});
    v.field("max_size", max_size,
            {.help = "a longer side keeps its own basis; vectors always do", .unit = "elements", .min = 1});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (beta1 >= 1 || beta2 >= 1 || shampoo_beta >= 1)
      problems.push_back(where + ": beta1, beta2 and shampoo_beta must be below 1, or the means never move");
  }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;
};

// One turned side of a parameter: its statistics [d,d] and its basis, eigenvectors in columns [d,d].
struct Side {
  int64_t dim;
  at::Tensor statistics, basis;
};

class Soap : public SlotOptimizer {
 public:
  Soap(std::vector<OptimParameter> parameters, const SoapOptions& options)
      : SlotOptimizer(std::move(parameters), options), options_(options) {}

 protected:
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    std::vector<Slot> out = {slot_like(parameter, "exp_avg", /*momentum=*/true),
                             slot_like(parameter, "exp_avg_sq")};
    const at::IntArrayRef sizes = parameter.value.sizes();
    for (size_t dim = 0; dim < sizes.size(); ++dim) {
      if (!turns(parameter.value, dim)) continue;
      for (const char* name : {"statistics_", "basis_"}) {
        out.push_back({name + std::to_string(dim), {sizes[dim], sizes[dim]}, parameter.value.scalar_type()});
      }
    }
    return out;
  }

  void update(Entry& entry, double lr) override {
    at::Tensor& value = entry.parameter.value;
    const at::Tensor& gradient = value.grad();
    at::Tensor &mean = entry.slots[0], &square = entry.slots[1];
    std::vector<Side> sides = sides_of(entry);
    if (entry.step == 1) {
      for (Side& side : sides) {
        follow(side, gradient);
        side.basis.copy_(eigenvectors(side.statistics));
      }
      return;
    }
    const auto step = static_cast<double>(entry.step - 1);
    mean.lerp_(gradient, 1 - options_.beta1);
    square.lerp_(turned(gradient, sides, /*back=*/false).square(), 1 - options_.beta2);
    const at::Tensor direction =
        turned(turned(mean, sides, /*back=*/false) / square.sqrt().add_(options_.eps), sides, /*back=*/true);
    const double corrections =
        std::sqrt(1 - std::pow(options_.beta2, step)) / (1 - std::pow(options_.beta1, step));
    value.sub_(direction, lr * corrections);
    value.mul_(1 - lr * decay(entry.parameter));
    for (Side& side : sides) follow(side, gradient);
    if ((entry.step - 1) % options_.frequency == 0) {
      for (Side& side : sides) refresh(side, square);
    }
  }

 private:
  bool turns(const at::Tensor& value, size_t dim) const {
    return value.dim() > 1 && value.size(static_cast<int64_t>(dim)) <= options_.max_size;
  }
  std::vector<Side> sides_of(const Entry& entry) const {
    std::vector<Side> sides;
    size_t slot = 2;
    for (int64_t dim = 0; dim < entry.parameter.value.dim(); ++dim) {
      if (!turns(entry.parameter.value, static_cast<size_t>(dim))) continue;
      sides.push_back({dim, entry.slots[slot], entry.slots[slot + 1]});
      slot += 2;
    }
    return sides;
  }

  // The side's statistics take in G G^T over all other sides.
  void follow(Side& side, const at::Tensor& gradient) const {
    const at::Tensor rows = gradient.movedim(side.dim, 0).flatten(1);
    side.statistics.lerp_(rows.mm(rows.t()), 1 - options_.shampoo_beta);
  }

  // x with each side multiplied by its basis transposed; back: by its basis.
  static at::Tensor turned(at::Tensor x, const std::vector<Side>& sides, bool back) {
    for (const Side& side : sides)
      x = at::tensordot(x, side.basis, {side.dim}, {back ? 1 : 0}).movedim(-1, side.dim);
    return x;
  }

  // Largest eigenvalue first.
  static at::Tensor eigenvectors(const at::Tensor& statistics) {
    const at::Tensor floor = 1e-30 * at::eye(statistics.size(0), statistics.options());
    return std::get<1>(at::linalg_eigh(statistics + floor)).flip({1});
  }

  // One power iteration; the second moments follow the new order of the directions.
  static void refresh(Side& side, at::Tensor& square) {
    const at::Tensor product = side.statistics.mm(side.basis);
    const at::Tensor order = (side.basis * product).sum(0).argsort(/*dim=*/0, /*descending=*/true);
    square.copy_(square.index_select(side.dim, order));
    side.basis.copy_(std::get<0>(at::linalg_qr(product.index_select(1, order))));
  }

  SoapOptions options_;
};

std::unique_ptr<Optimizer> SoapOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<Soap>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> soap_options() {
  return std::make_unique<SoapOptions>();
}

}  // namespace temper

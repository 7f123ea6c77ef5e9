// AdamW whose moments are kept in 8 bits (Dettmers et al., arXiv 2110.02861), as bitsandbytes' blockwise
// kernel does it: dequantise, one AdamW step in fp32 with the moments before they are quantised again, then
// the decay p *= 1 - lr wd, then quantise. A mean that is negative keeps a negative code. Small parameters
// and embeddings keep fp32 moments and take the same step.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "optim/blocks8_tensors.h"
#include "optim/elementwise.h"
#include "optim/kinds.h"
#include "optim/state.h"
#include "tensor/blocks8.h"

namespace temper {
namespace {

struct AdamW8bitOptions : OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  int64_t min_size = 4096;
  std::vector<std::string> fp32_names = {"embed"};
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("beta1", beta1, {.help = "decay of the first moment", .min = 0, .max = 1});
    v.field("beta2", beta2, {.help = "decay of the second moment", .min = 0, .max = 1});
    v.field("eps", eps, {.help = "added to the root of the second moment", .min = 0});
    v.field("min_size", min_size,
            {.help = "smaller parameters keep fp32 moments", .unit = "elements", .min = 0});
    v.field("fp32_names", fp32_names, {.help = "parameters whose name holds one of these keep fp32 moments"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (beta1 >= 1 || beta2 >= 1)
      problems.push_back(where + ": beta1 and beta2 must be below 1, or the moments never move");
    if (lookahead.k > 0 && lookahead.momentum == "pull_back")
      problems.push_back(where +
                         ".lookahead.momentum: 8-bit moments cannot be pulled back; take keep or reset");
  }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;
};

struct StepConstants {
  float beta1, beta2, rest1, rest2, eps, size, keep;  // eps and size hold the bias corrections
};

// n numbers of a parameter with their moments in fp32. An element whose gradient is not finite is left alone
// and forgets its moments.
void adamw_numbers(int64_t n, float* x, const float* g, float* m, float* v, const StepConstants& c) {
  using vec::Floats;
  const Floats beta1(c.beta1), beta2(c.beta2), rest1(c.rest1), rest2(c.rest2), eps(c.eps), size(c.size),
      keep(c.keep), zero(0.0f);
  vec::for_each(n, [&](int64_t i, int64_t count) {
    const Floats gradient = vec::load(g + i, count), weight = vec::load(x + i, count);
    const Floats finite = (gradient - gradient) == zero;
    const Floats mean = beta1 * vec::load(m + i, count) + rest1 * gradient;
    const Floats square = beta2 * vec::load(v + i, count) + rest2 * gradient * gradient;
    const Floats moved = (weight - size * (mean / (square.sqrt() + eps))) * keep;
    vec::store(m + i, Floats::blendv(zero, mean, finite), count);
    vec::store(v + i, Floats::blendv(zero, square, finite), count);
    vec::store(x + i, Floats::blendv(weight, moved, finite), count);
  });
}

// The same by operators on whole tensors: x is changed, m and v are new; any shape.
void adamw_numbers(at::Tensor& x, const at::Tensor& g, at::Tensor& m, at::Tensor& v, const StepConstants& c) {
  const at::Tensor finite = (g - g) == 0;
  m.mul_(c.beta1).add_(g, c.rest1);
  v.mul_(c.beta2).addcmul_(g, g, c.rest2);
  const at::Tensor moved = (x - c.size * (m / v.sqrt().add_(c.eps))).mul_(c.keep);
  x.copy_(at::where(finite, moved, x));
  const at::Tensor lost = finite.logical_not();
  m.masked_fill_(lost, 0.0);
  v.masked_fill_(lost, 0.0);
}

class AdamW8bit : public SlotOptimizer {
 public:
  AdamW8bit(std::vector<OptimParameter> parameters, const AdamW8bitOptions& options)
      : SlotOptimizer(std::move(parameters), options), options_(options) {}

 protected:
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    if (!quantised(parameter))
      return {slot_like(parameter, "exp_avg", /*momentum=*/true), slot_like(parameter, "exp_avg_sq")};
    const std::vector<int64_t> sizes = parameter.value.sizes().vec();
    const std::vector<int64_t> blocks = {blocks8(parameter.value.numel())};
    return {{"exp_avg_codes", sizes, at::kByte, /*momentum=*/true},
            {"exp_avg_absmax", blocks, at::kFloat, /*momentum=*/true},
            {"exp_avg_sq_codes", sizes, at::kByte},
            {"exp_avg_sq_absmax", blocks, at::kFloat}};
  }

  void update(Entry& entry, double lr) override {
    at::Tensor& value = entry.parameter.value;
    const auto step = static_cast<double>(entry.step);
    const double correction1 = 1 - std::pow(options_.beta1, step);
    const double correction2 = std::sqrt(1 - std::pow(options_.beta2, step));
    const auto number = [](double x) { return static_cast<float>(x); };
    const StepConstants c{number(options_.beta1),
                          number(options_.beta2),
                          number(1 - options_.beta1),
                          number(1 - options_.beta2),
                          number(options_.eps * correction2),
                          number(lr * correction2 / correction1),
                          number(1 - lr * decay(entry.parameter))};
    if (!value.is_cpu()) return step_tensors(entry, c);
    // The passes below read plain fp32; other parameters are copied there and back.
    const at::Tensor gradient = plain(value.grad());
    at::Tensor weights = plain(value);
    std::vector<at::Tensor> slots;
    for (const at::Tensor& slot : entry.slots) slots.push_back(slot.contiguous());
    if (quantised(entry.parameter))
      step_codes(weights, gradient, slots, c);
    else
      step_floats(weights, gradient, slots, c);
    if (!weights.is_same(value)) value.copy_(weights);
    for (size_t i = 0; i < slots.size(); ++i) {
      if (!slots[i].is_same(entry.slots[i])) entry.slots[i].copy_(slots[i]);
    }
  }

 private:
  static at::Tensor plain(const at::Tensor& x) { return plain_floats(x) ? x : x.to(at::kFloat).contiguous(); }
  bool quantised(const OptimParameter& parameter) const {
    if (parameter.value.numel() < options_.min_size) return false;
    for (const std::string& part : options_.fp32_names) {
      if (parameter.name.find(part) != std::string::npos) return false;
    }
    return true;
  }

  static void step_floats(at::Tensor& weights, const at::Tensor& gradient, std::vector<at::Tensor>& slots,
                          const StepConstants& c) {
    float *x = weights.data_ptr<float>(), *m = slots[0].data_ptr<float>(), *v = slots[1].data_ptr<float>();
    const float* g = gradient.const_data_ptr<float>();
    at::parallel_for(0, weights.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
      adamw_numbers(end - begin, x + begin, g + begin, m + begin, v + begin, c);
    });
  }

  static void step_codes(at::Tensor& weights, const at::Tensor& gradient, std::vector<at::Tensor>& slots,
                         const StepConstants& c) {
    const int64_t numbers = weights.numel();
    const uint8_t zero = signed_map().nearest(0);
    float* x = weights.data_ptr<float>();
    const float* g = gradient.const_data_ptr<float>();
    uint8_t *m_codes = slots[0].data_ptr<uint8_t>(), *v_codes = slots[2].data_ptr<uint8_t>();
    float *m_absmax = slots[1].data_ptr<float>(), *v_absmax = slots[3].data_ptr<float>();
    at::parallel_for(0, blocks8(numbers), 64, [&](int64_t begin, int64_t end) {
      float m[kBlockSize8], v[kBlockSize8];
      for (int64_t block = begin; block < end; ++block) {
        const int64_t at = block * kBlockSize8, n = std::min(kBlockSize8, numbers - at);
        dequantise8(m_codes + at, m_absmax[block], n, signed_map(), m);
        dequantise8(v_codes + at, v_absmax[block], n, unsigned_map(), v);
        adamw_numbers(n, x + at, g + at, m, v, c);
        quantise8(m, n, signed_map(), m_codes + at, &m_absmax[block]);
        quantise8(v, n, unsigned_map(), v_codes + at, &v_absmax[block]);
        // A small negative mean that is nearest to 0 would lose its sign.
        for (int64_t i = 0; i < n; ++i) m_codes[at + i] -= m[i] < 0 && m_codes[at + i] == zero ? 1 : 0;
      }
    });
  }

  // On an accelerator: a stretch of a parameter after the other, which bounds the temporaries.
  void step_tensors(Entry& entry, const StepConstants& c) {
    constexpr int64_t kStretch = 1 << 24;  // whole blocks
    at::Tensor& value = entry.parameter.value;
    const at::Tensor weights = value.contiguous(), gradient = value.grad().contiguous();
    for (int64_t at = 0; at < weights.numel(); at += kStretch) {
      const int64_t n = std::min(kStretch, weights.numel() - at);
      const auto numbers = [&](const at::Tensor& x) { return x.view(-1).narrow(0, at, n); };
      const auto blocks = [&](const at::Tensor& x) { return x.narrow(0, at / kBlockSize8, blocks8(n)); };
      const at::Tensor stretch = numbers(weights);
      if (!quantised(entry.parameter)) {
        at::Tensor x = stretch, m = numbers(entry.slots[0]), v = numbers(entry.slots[1]);
        adamw_numbers(x, numbers(gradient), m, v, c);
        continue;
      }
      if (!maps_) maps_.emplace(value.device());
      const at::Tensor m_codes = numbers(entry.slots[0]), m_absmax = blocks(entry.slots[1]),
                       v_codes = numbers(entry.slots[2]), v_absmax = blocks(entry.slots[3]);
      at::Tensor x = as_blocks8(stretch), m = dequantise8(m_codes, m_absmax, maps_->with_sign),
                 v = dequantise8(v_codes, v_absmax, maps_->without);
      adamw_numbers(x, as_blocks8(numbers(gradient)), m, v, c);
      stretch.copy_(x.view(-1).narrow(0, 0, n));
      const auto [m_new, m_largest] = quantise8(m, maps_->with_sign);
      const auto [v_new, v_largest] = quantise8(v, maps_->without);
      // A small negative mean that is nearest to 0 would lose its sign.
      m_new.sub_((m < 0).logical_and_(m_new == signed_map().nearest(0)).to(at::kByte));
      m_codes.copy_(m_new.view(-1).narrow(0, 0, n));
      v_codes.copy_(v_new.view(-1).narrow(0, 0, n));
      m_absmax.copy_(m_largest);
      v_absmax.copy_(v_largest);
    }
    if (!weights.is_same(value)) value.copy_(weights);
  }

  struct Maps {  // on the accelerator, for all parameters
    explicit Maps(at::Device device) : with_sign(signed_map(), device), without(unsigned_map(), device) {}
    MapTensors with_sign, without;
  };

  AdamW8bitOptions options_;
  std::optional<Maps> maps_;
};

std::unique_ptr<Optimizer> AdamW8bitOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<AdamW8bit>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> adamw8bit_options() {
  return std::make_unique<AdamW8bitOptions>();
}

}  // namespace temper

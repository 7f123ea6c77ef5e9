#include "tensor/accelerator/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "base/error.h"
#include "tensor/attention_kernels.h"
#include "tensor/kernels.h"
#include "tensor/ops.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

AttentionGradients device_gradients(const Tensor& dout, const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Attended& attended, const AttentionPlan& plan,
                                    const AttentionLaw& law) {
  const auto [dq, dk, dv] =
      on_device::attention_backward(dout, q, k, v, attended, plan, law.scale, law.window);
  if (!law.sinks.defined()) return {dq, dk, dv, Tensor()};
  const Tensor delta = (attended.out.to(at::kFloat) * dout.to(at::kFloat)).sum(-1).t();  // [Q, N]
  const Tensor share = (law.sinks.detach().to(at::kFloat).unsqueeze(1) - attended.lse).exp();
  return {dq, dk, dv, -(share * delta).sum(1)};
}

struct PackedAttention : Function<PackedAttention> {
  struct Batch : torch::CustomClassHolder {
    std::vector<Segment> segments;              // on the CPU
    std::shared_ptr<const AttentionPlan> plan;  // elsewhere
    AttentionLaw law;                           // but the sinks
  };
  static Attended run(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& batch,
                      const AttentionLaw& law) {
    if (q.is_cpu()) return on_cpu::attention(q, k, v, batch.segments, law);
    if (batch.plan == nullptr) bug("packed_attention: a batch on {} without a plan", q.device().str());
    const Attended attended = on_device::attention(q, k, v, *batch.plan, law.scale, law.window);
    return law.sinks.defined() ? with_sinks(attended, law.sinks.detach().to(at::kFloat)) : attended;
  }
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::optional<Tensor>& sinks, const PackedTokens* batch,
                        const AttentionLaw* law) {
    const Attended attended = run(q, k, v, *batch, *law);
    auto kept = c10::make_intrusive<Batch>();
    if (q.is_cpu()) kept->segments = batch->segments;
    kept->plan = batch->plan, kept->law = *law, kept->law.sinks = Tensor();
    ctx->saved_data["batch"] = c10::IValue::make_capsule(kept);
    ctx->save_for_backward({q, k, v, attended.out, attended.lse, sinks.value_or(Tensor())});
    return attended.out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &sinks = saved[5];
    const Attended attended{saved[3], saved[4]};
    const Tensor dout = grads[0].contiguous();
    const auto capsule = ctx->saved_data["batch"].toCapsule();
    const auto& batch = static_cast<const Batch&>(*capsule);
    AttentionLaw law = batch.law;
    law.sinks = sinks;
    const AttentionGradients d =
        q.is_cpu() ? on_cpu::attention_backward(dout, q, k, v, attended, batch.segments, law)
                   : device_gradients(dout, q, k, v, attended, *batch.plan, law);
    return {d.q, d.k, d.v, d.sinks.defined() ? d.sinks.to(sinks.scalar_type()) : d.sinks, Tensor(), Tensor()};
  }
};

}  // namespace

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& batch,
                        const AttentionLaw& law) {
  if (!has_kernel(q) || (law.softcap > 0 && !q.is_cpu()))
    return reference::packed_attention(q, k, v, batch, law);
  // ATen's kernels want each head's numbers side by side and no more.
  const auto prepared = [](const Tensor& x) { return !x.is_cpu() && x.stride(-1) == 1 ? x : x.contiguous(); };
  const Tensor qc = prepared(q), kc = prepared(k), vc = prepared(v);
  if (wants_grad({&q, &k, &v, &law.sinks}))
    return PackedAttention::apply(qc, kc, vc, maybe(law.sinks), &batch, &law);
  return PackedAttention::run(qc, kc, vc, batch, law).out;
}

namespace reference {

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& batch,
                        const AttentionLaw& law) {
  // Which segments a segment sees, spread over tokens, as one dense mask.
  const int64_t n = q.size(0);
  Tensor mask = at::zeros({n, n}, at::kBool);
  auto m = mask.accessor<bool, 2>();
  const Tensor positions = batch.positions.cpu();
  const auto p = positions.accessor<int64_t, 1>();
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    for (auto a = static_cast<int64_t>(s); a >= 0; a = batch.segments[a].parent) {
      for (int64_t i = batch.segments[s].begin; i < batch.segments[s].end; ++i) {
        for (int64_t j = batch.segments[a].begin; j < batch.segments[a].end; ++j) {
          m[i][j] = p[j] <= p[i] && (law.window == 0 || p[i] - p[j] < law.window);
        }
      }
    }
  }
  const int64_t group = q.size(1) / k.size(1);
  const Tensor qf = q.to(at::kFloat).transpose(0, 1);
  const Tensor kf = k.to(at::kFloat).transpose(0, 1).repeat_interleave(group, 0);
  const Tensor vf = v.to(at::kFloat).transpose(0, 1).repeat_interleave(group, 0);
  Tensor scores = at::matmul(qf, kf.transpose(1, 2)) * law.scale;
  if (law.softcap > 0) scores = at::tanh(scores / law.softcap) * law.softcap;
  const Tensor hidden = mask.to(q.device()).logical_not();
  scores = scores.masked_fill(hidden, -std::numeric_limits<float>::infinity());
  if (law.sinks.defined())
    scores = at::cat({scores, law.sinks.to(at::kFloat).view({-1, 1, 1}).expand({-1, n, 1})}, 2);
  const Tensor probs = at::softmax(scores, -1).narrow(2, 0, n);
  return at::matmul(probs, vf).transpose(0, 1).to(q.scalar_type());
}

}  // namespace reference
}  // namespace temper

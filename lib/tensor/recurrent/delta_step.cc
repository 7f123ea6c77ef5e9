#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "tensor/kernels.h"
#include "tensor/recurrent/delta_rule.h"
#include "tensor/vec.h"

// The gated delta rule one token at a time: decoding's kernel, and the plain form of all of it.

namespace temper {
namespace {

using at::Tensor;

// State [Dk, Dv] of one head takes one token, all in fp32; columns are independent of one another.
void step(const float* q, const float* k, const float* v, float decay, float beta, int64_t key_size,
          int64_t value_size, float* state, float* out) {
  const vec::Floats keep(decay), rate(beta);
  vec::for_each(value_size, [&](int64_t c, int64_t n) {
    vec::Floats seen(0.0f), read(0.0f);
    for (int64_t r = 0; r < key_size; ++r)
      seen = at::vec::fmadd(vec::load(state + r * value_size + c, n), vec::Floats(k[r]), seen);
    const vec::Floats d = rate * (vec::load(v + c, n) - keep * seen);
    for (int64_t r = 0; r < key_size; ++r) {
      float* at = state + r * value_size + c;
      const vec::Floats next = at::vec::fmadd(vec::Floats(k[r]), d, keep * vec::load(at, n));
      vec::store(at, next, n);
      read = at::vec::fmadd(next, vec::Floats(q[r]), read);
    }
    vec::store(out + c, read, n);
  });
}

}  // namespace

Tensor gated_delta_step(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& log_decay,
                        const Tensor& beta, Tensor& state) {
  if (!state.is_contiguous() || state.scalar_type() != at::kFloat)
    bug("gated_delta_step: the state is to be fp32 and contiguous");
  const at::NoGradGuard no_grad;
  if (!v.is_cpu() || !has_kernel(v)) return reference::gated_delta_step(q, k, v, log_decay, beta, state);
  const auto plain = [](const Tensor& x) { return x.to(at::kFloat).contiguous(); };
  const Tensor qf = plain(q), kf = plain(k), vf = plain(v), decay = plain(log_decay).exp(),
               rate = plain(beta);
  const int64_t heads = v.size(1), group = heads / k.size(1), key_size = k.size(2), value_size = v.size(2);
  const Tensor out = at::empty(v.sizes(), vf.options());
  const float *qp = qf.const_data_ptr<float>(), *kp = kf.const_data_ptr<float>(),
              *vp = vf.const_data_ptr<float>(), *decays = decay.const_data_ptr<float>(),
              *rates = rate.const_data_ptr<float>();
  float *states = state.mutable_data_ptr<float>(), *to = out.mutable_data_ptr<float>();
  at::parallel_for(0, v.size(0) * heads, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t key = i / group * key_size;  // heads of a sequence stand together, so their groups too
      step(qp + key, kp + key, vp + i * value_size, decays[i], rates[i], key_size, value_size,
           states + i * key_size * value_size, to + i * value_size);
    }
  });
  return out.to(v.scalar_type());
}

namespace reference {

namespace {

struct Token {
  Tensor q, k, v, decay, beta;  // q, k [.., Hv, Dk, 1], v [.., Hv, 1, Dv], decay, beta [.., Hv, 1, 1]
};

// The new state and o.
std::pair<Tensor, Tensor> after(const Tensor& state, const Token& t) {
  const Tensor kept = t.decay * state;
  const Tensor d = t.beta * (t.v - (kept * t.k).sum(-2, true));
  const Tensor next = kept + t.k * d;
  return {next, (next * t.q).sum(-2)};
}

Token tokens(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& log_decay, const Tensor& beta) {
  const auto f = [](const Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); };
  const int64_t group = v.size(1) / k.size(1);
  const auto shared = [&](const Tensor& x) { return f(x).repeat_interleave(group, 1).unsqueeze(-1); };
  return {shared(q), shared(k), f(v).unsqueeze(-2), f(log_decay).exp().unsqueeze(-1).unsqueeze(-1),
          f(beta).unsqueeze(-1).unsqueeze(-1)};
}

}  // namespace

DeltaRuleResult gated_delta_rule(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& log_decay,
                                 const Tensor& beta, const std::vector<Segment>& segments,
                                 const std::vector<int64_t>& ends, const Tensor& initial) {
  const Token all = tokens(q, k, v, log_decay, beta);
  const Tensor zero = at::zeros({v.size(1), k.size(2), v.size(2)}, all.v.options().requires_grad(false));
  std::vector<Tensor> last, out;
  int64_t roots = 0;
  for (const Segment& s : segments) {
    Tensor state = s.parent >= 0 ? last[s.parent] : initial.defined() ? initial.select(0, roots) : zero;
    if (s.parent < 0) ++roots;
    for (int64_t t = s.begin; t < s.end; ++t) {
      auto [next, o] = after(state, {all.q[t], all.k[t], all.v[t], all.decay[t], all.beta[t]});
      state = next;
      out.push_back(o);
    }
    last.push_back(state);
  }
  std::vector<Tensor> states;
  for (const int64_t e : ends) states.push_back(last[e]);
  return {out.empty() ? at::zeros_like(v) : at::stack(out).to(v.scalar_type()),
          states.empty() ? zero.new_empty({0, zero.size(0), zero.size(1), zero.size(2)}) : at::stack(states)};
}

Tensor gated_delta_step(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& log_decay,
                        const Tensor& beta, Tensor& state) {
  const auto [next, out] = after(state, tokens(q, k, v, log_decay, beta));
  state.copy_(next);
  return out.to(v.scalar_type());
}

}  // namespace reference
}  // namespace temper

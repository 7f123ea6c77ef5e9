#include "tensor/recurrent/delta_rule.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/error.h"
#include "tensor/accelerator/delta_rule.h"
#include "tensor/kernels.h"
#include "tensor/recurrent/delta_chunk.h"
#include "tensor/recurrent/trees.h"
#include "tensor/vec.h"

// Work is cut into (tree of segments) x (head of q and k); a piece runs on one thread from start to end, its
// value heads one after the other, so sums have one order whatever the number of threads. Backward computes a
// piece's states again and keeps one a chunk while it goes back.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using Floats = std::vector<float>;

struct Inputs {
  Tensor q, k, v, g, beta;  // contiguous; q, k, v of one type, the rest fp32
  int64_t key_heads() const { return k.size(1); }
  int64_t value_heads() const { return v.size(1); }
  int64_t key_size() const { return k.size(2); }
  int64_t value_size() const { return v.size(2); }
  int64_t group() const { return value_heads() / key_heads(); }
  int64_t square() const { return key_size() * value_size(); }
};

Inputs checked(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g, const Tensor& beta,
               const std::vector<Segment>& segments) {
  if (q.dim() != 3 || q.sizes() != k.sizes() || v.size(0) != k.size(0) || v.size(1) % k.size(1) != 0 ||
      g.sizes() != v.sizes().slice(0, 2) || beta.sizes() != g.sizes())
    bug("gated delta rule: shapes do not fit: q {}, k {}, v {}, log_decay {}, beta {}", c10::str(q.sizes()),
        c10::str(k.sizes()), c10::str(v.sizes()), c10::str(g.sizes()), c10::str(beta.sizes()));
  const int64_t tokens = segments.empty() ? 0 : segments.back().end;
  if (v.size(0) != tokens) bug("gated delta rule: {} tokens, segments of {}", v.size(0), tokens);
  const auto dtype = v.scalar_type();
  return {q.to(dtype).contiguous(), k.to(dtype).contiguous(), v.contiguous(), g.to(at::kFloat).contiguous(),
          beta.to(at::kFloat).contiguous()};
}

// A head's rows [from, from + rows) of x [N, heads, size] into fp32, and back.
template <typename T>
void load_rows(const Tensor& x, int64_t head, int64_t from, int64_t rows, float* to) {
  const int64_t size = x.size(2), stride = x.size(1) * size;
  const T* in = x.const_data_ptr<T>() + from * stride + head * size;
  for (int64_t r = 0; r < rows; ++r)
    vec::for_each(size, [&](int64_t i, int64_t n) {
      vec::store(to + r * size + i, vec::load(in + r * stride + i, n), n);
    });
}
template <typename T>
void store_rows(const float* from, int64_t head, int64_t begin, int64_t rows, bool add, const Tensor& x) {
  const int64_t size = x.size(2), stride = x.size(1) * size;
  T* out = x.mutable_data_ptr<T>() + begin * stride + head * size;
  for (int64_t r = 0; r < rows; ++r)
    vec::for_each(size, [&](int64_t i, int64_t n) {
      const vec::Floats value = vec::load(from + r * size + i, n);
      vec::store(out + r * stride + i, add ? vec::load(out + r * stride + i, n) + value : value, n);
    });
}

template <typename T>
void load_chunk(const Inputs& in, int64_t head, int64_t from, int64_t rows, DeltaChunk& chunk) {
  chunk.rows = rows;
  load_rows<T>(in.q, head / in.group(), from, rows, chunk.q.data());
  load_rows<T>(in.k, head / in.group(), from, rows, chunk.k.data());
  load_rows<T>(in.v, head, from, rows, chunk.v.data());
  const float *g = in.g.const_data_ptr<float>(), *beta = in.beta.const_data_ptr<float>();
  for (int64_t r = 0; r < rows; ++r) {
    chunk.g[r] = g[(from + r) * in.value_heads() + head];
    chunk.beta[r] = beta[(from + r) * in.value_heads() + head];
  }
}

template <typename F>
void for_each_chunk(const Segment& segment, const F& f) {
  for (int64_t t = segment.begin; t < segment.end; t += DeltaChunk::kRows)
    f(t, std::min(DeltaChunk::kRows, segment.end - t));
}

// f(tree, key head) for all pieces.
template <typename F>
void for_each_piece(size_t trees, int64_t key_heads, const F& f) {
  const auto pieces = static_cast<int64_t>(trees) * key_heads;
  at::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i / key_heads, i % key_heads);
  });
}

// Places in a tree of segments' parents, -1 for none.
std::vector<int64_t> parents_in(const std::vector<int64_t>& tree, const std::vector<Segment>& segments) {
  std::vector<int64_t> place(segments.size(), -1), out;
  for (size_t i = 0; i < tree.size(); ++i) {
    place[tree[i]] = static_cast<int64_t>(i);
    const int64_t parent = segments[tree[i]].parent;
    out.push_back(parent < 0 ? -1 : place[parent]);
  }
  return out;
}

// What forward leaves where it is asked to; may be undefined.
struct Outputs {
  Tensor out;                   // [N, Hv, Dv]
  Tensor states;                // [ends, Hv, Dk, Dv]
  std::vector<int64_t> end_of;  // [segments]: the place in states, or -1
};

// One value head of a tree: f(segment's place in the tree, first token, rows, S0) before each chunk.
template <typename T, typename F>
void forward_head(const Inputs& in, const std::vector<Segment>& segments, const std::vector<int64_t>& tree,
                  const std::vector<int64_t>& parents, int64_t head, const float* initial, DeltaChunk& chunk,
                  const Outputs& to, const F& f) {
  std::vector<Floats> last(tree.size());  // states behind segments with children
  for (const int64_t p : parents)
    if (p >= 0) last[p].resize(in.square());
  Floats state, out(DeltaChunk::kRows * in.value_size());
  for (size_t i = 0; i < tree.size(); ++i) {
    if (parents[i] >= 0)
      state = last[parents[i]];
    else if (initial != nullptr)
      state.assign(initial, initial + in.square());
    else
      state.assign(in.square(), 0.0f);
    for_each_chunk(segments[tree[i]], [&](int64_t t, int64_t rows) {
      f(i, t, rows, state);
      load_chunk<T>(in, head, t, rows, chunk);
      chunk.forward(state.data(), to.out.defined() ? out.data() : nullptr);
      if (to.out.defined()) store_rows<T>(out.data(), head, t, rows, false, to.out);
    });
    if (!last[i].empty()) last[i] = state;
    if (to.states.defined() && to.end_of[tree[i]] >= 0)
      std::copy(
          state.begin(), state.end(),
          to.states.mutable_data_ptr<float>() + (to.end_of[tree[i]] * in.value_heads() + head) * in.square());
  }
}

void run_forward(const Inputs& in, const std::vector<Segment>& segments, const Tensor& initial,
                 const Outputs& to) {
  const auto trees = segment_trees(segments);
  dispatch(in.v.scalar_type(), "gated_delta_rule", [&](auto zero) {
    using T = decltype(zero);
    for_each_piece(trees.size(), in.key_heads(), [&](int64_t tree, int64_t key_head) {
      DeltaChunk chunk(in.key_size(), in.value_size());
      const auto parents = parents_in(trees[tree], segments);
      for (int64_t head = key_head * in.group(); head < (key_head + 1) * in.group(); ++head) {
        const float* before = initial.defined() ? initial.const_data_ptr<float>() +
                                                      (tree * in.value_heads() + head) * in.square()
                                                : nullptr;
        forward_head<T>(in, segments, trees[tree], parents, head, before, chunk, to,
                        [](size_t, int64_t, int64_t, const Floats&) {});
      }
    });
  });
}

struct Gradients {
  Tensor q, k;  // fp32, zeros at first
  Tensor v, g, beta;
};

template <typename T>
void backward_head(const Inputs& in, const std::vector<Segment>& segments, const std::vector<int64_t>& tree,
                   const std::vector<int64_t>& parents, int64_t head, const Tensor& dout, DeltaChunk& chunk,
                   const Gradients& to) {
  struct Step {
    size_t place;
    int64_t token, rows;
    Floats before;  // S0
  };
  std::vector<Step> steps;
  forward_head<T>(in, segments, tree, parents, head, nullptr, chunk, {},
                  [&](size_t place, int64_t token, int64_t rows, const Floats& state) {
                    steps.push_back({place, token, rows, state});
                  });
  // Children stand behind their parents, so a segment's last state has all its gradient when its turn comes.
  std::vector<Floats> dlast(tree.size());
  Floats out_rows(DeltaChunk::kRows * in.value_size());
  const int64_t heads = in.value_heads();
  for (auto i = static_cast<int64_t>(tree.size()) - 1; i >= 0; --i) {
    Floats dstate = std::move(dlast[i]);
    dstate.resize(in.square(), 0.0f);
    for (; !steps.empty() && static_cast<int64_t>(steps.back().place) == i; steps.pop_back()) {
      const Step& step = steps.back();
      load_chunk<T>(in, head, step.token, step.rows, chunk);
      load_rows<T>(dout, head, step.token, step.rows, out_rows.data());
      chunk.backward(step.before.data(), out_rows.data(), dstate.data());
      store_rows<float>(chunk.dq.data(), head / in.group(), step.token, step.rows, true, to.q);
      store_rows<float>(chunk.dk.data(), head / in.group(), step.token, step.rows, true, to.k);
      store_rows<T>(chunk.dv.data(), head, step.token, step.rows, false, to.v);
      for (int64_t r = 0; r < step.rows; ++r) {
        to.g.mutable_data_ptr<float>()[(step.token + r) * heads + head] = chunk.dg[r];
        to.beta.mutable_data_ptr<float>()[(step.token + r) * heads + head] = chunk.dbeta[r];
      }
    }
    if (parents[i] < 0) continue;
    Floats& above = dlast[parents[i]];
    above.resize(in.square(), 0.0f);
    for (int64_t j = 0; j < in.square(); ++j) above[j] += dstate[j];
  }
}

Gradients run_backward(const Inputs& in, const std::vector<Segment>& segments, const Tensor& dout) {
  const auto trees = segment_trees(segments);
  const auto fp32 = in.g.options();
  Gradients to{at::zeros(in.q.sizes(), fp32), at::zeros(in.k.sizes(), fp32), at::empty_like(in.v),
               at::empty_like(in.g), at::empty_like(in.beta)};
  dispatch(in.v.scalar_type(), "gated_delta_rule", [&](auto zero) {
    using T = decltype(zero);
    for_each_piece(trees.size(), in.key_heads(), [&](int64_t tree, int64_t key_head) {
      DeltaChunk chunk(in.key_size(), in.value_size());
      const auto parents = parents_in(trees[tree], segments);
      for (int64_t head = key_head * in.group(); head < (key_head + 1) * in.group(); ++head)
        backward_head<T>(in, segments, trees[tree], parents, head, dout, chunk, to);
    });
  });
  return to;
}

struct GatedDeltaRule : Function<GatedDeltaRule> {
  struct Segments : torch::CustomClassHolder {
    explicit Segments(const std::vector<Segment>& list) : list(list) {}
    std::vector<Segment> list;
  };
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& g, const Tensor& beta, const std::vector<Segment>* segments) {
    ctx->save_for_backward({q, k, v, g, beta});
    ctx->saved_data["segments"] = c10::IValue::make_capsule(c10::make_intrusive<Segments>(*segments));
    const Outputs to{at::empty_like(v), {}, {}};
    run_forward({q, k, v, g, beta}, *segments, {}, to);
    return to.out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto s = ctx->get_saved_variables();
    const auto capsule = ctx->saved_data["segments"].toCapsule();
    const Gradients d = run_backward({s[0], s[1], s[2], s[3], s[4]},
                                     static_cast<const Segments&>(*capsule).list, grads[0].contiguous());
    return {d.q.to(s[0].scalar_type()), d.k.to(s[1].scalar_type()), d.v, d.g, d.beta, Tensor()};
  }
};

}  // namespace

Tensor gated_delta_rule(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& log_decay,
                        const Tensor& beta, const std::vector<Segment>& segments) {
  if (!has_kernel(v)) return reference::gated_delta_rule(q, k, v, log_decay, beta, segments).out;
  if (!v.is_cpu()) return on_device::gated_delta_rule(q, k, v, log_decay, beta, segments).out;
  const Inputs in = checked(q, k, v, log_decay, beta, segments);
  if (wants_grad({&q, &k, &v, &log_decay, &beta}))
    return GatedDeltaRule::apply(in.q, in.k, in.v, in.g, in.beta, &segments);
  const Outputs to{at::empty_like(in.v), {}, {}};
  run_forward(in, segments, {}, to);
  return to.out;
}

DeltaRuleResult gated_delta_prefill(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& log_decay, const Tensor& beta,
                                    const std::vector<Segment>& segments, const std::vector<int64_t>& ends,
                                    const Tensor& initial) {
  const at::NoGradGuard no_grad;
  if (!has_kernel(v)) return reference::gated_delta_rule(q, k, v, log_decay, beta, segments, ends, initial);
  if (!v.is_cpu()) return on_device::gated_delta_rule(q, k, v, log_decay, beta, segments, ends, initial);
  const Inputs in = checked(q, k, v, log_decay, beta, segments);
  const auto count = static_cast<int64_t>(ends.size());
  const auto roots =
      std::count_if(segments.begin(), segments.end(), [](const auto& x) { return x.parent < 0; });
  const std::vector<int64_t> shape = {roots, in.value_heads(), in.key_size(), in.value_size()};
  if (initial.defined() && initial.sizes() != shape)
    bug("gated delta rule: initial states {}, expected {}", c10::str(initial.sizes()),
        c10::str(at::IntArrayRef(shape)));
  Outputs to{at::empty_like(in.v),
             at::empty({count, in.value_heads(), in.key_size(), in.value_size()}, in.g.options()),
             std::vector<int64_t>(segments.size(), -1)};
  for (int64_t i = 0; i < count; ++i) to.end_of[ends[i]] = i;
  run_forward(in, segments, initial.defined() ? initial.contiguous() : initial, to);
  return {to.out, to.states};
}

}  // namespace temper

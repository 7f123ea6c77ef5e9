// What an accelerator computes its own way, beside the CPU's kernels: values, gradients, memory.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "device/fake_device.h"
#include "tensor/divergence.h"
#include "tensor/gather_logp.h"
#include "tensor/logp.h"
#include "tensor/ops.h"
#include "tensor/trees.h"
#include "test.h"

using at::Tensor;
using namespace temper;
using temper::fake::kFake;

namespace {

Tensor random(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat, double scale = 1.0) {
  static at::Generator generator = at::detail::createCPUGenerator(11);
  return (at::randn(shape, generator, at::kFloat) * scale).to(dtype);
}

using Operation = std::function<Tensor(const std::vector<Tensor>&, at::Device)>;

// The result and the gradients of its weighted sum, on the host in fp32.
std::vector<Tensor> run(const Operation& op, const std::vector<Tensor>& inputs, at::Device device,
                        const Tensor& weights) {
  std::vector<Tensor> there;
  for (const Tensor& x : inputs)
    there.push_back(x.detach().to(device, x.scalar_type(), false, true).requires_grad_(true));
  const Tensor y = op(there, device);
  torch::autograd::backward({(y.to(at::kFloat).cpu() * weights).sum()}, {});
  std::vector<Tensor> out = {y.detach().cpu().to(at::kFloat)};
  for (const Tensor& x : there) out.push_back(x.grad().defined() ? x.grad().cpu().to(at::kFloat) : Tensor());
  return out;
}

void compare(const Operation& op, const std::vector<Tensor>& inputs, at::IntArrayRef shape,
             double tolerance) {
  const Tensor weights = random(shape);
  const auto cpu = run(op, inputs, at::kCPU, weights), fake = run(op, inputs, kFake, weights);
  for (size_t i = 0; i < cpu.size(); ++i) {
    CAPTURE(i);
    REQUIRE(cpu[i].defined() == fake[i].defined());
    if (!cpu[i].defined()) continue;
    REQUIRE(cpu[i].sizes() == fake[i].sizes());
    const double size = std::max(cpu[i].abs().max().item<double>(), 0.5);
    CHECK((cpu[i] - fake[i]).abs().max().item<double>() <= tolerance * size);
  }
}

double rounding(at::ScalarType dtype) {
  return dtype == at::kFloat ? 1e-5 : 3e-2;
}

}  // namespace

TEST_CASE("fake device: packed attention equals the CPU's, by levels and with windows") {
  fake::start();
  const Packer packer = several_trees();
  const int64_t n = packer.tokens();
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t window : {0, 1, 6, 13, 500}) {
      for (const int64_t kv : {1, 2, 4}) {
        CAPTURE(window);
        CAPTURE(kv);
        compare(
            [&](const auto& x, at::Device device) {
              return packed_attention(x[0], x[1], x[2], packer.tokens_on(device), {0.3, window});
            },
            {random({n, 4, 16}, dtype), random({n, kv, 16}, dtype), random({n, kv, 16}, dtype)}, {n, 4, 16},
            rounding(dtype));
      }
    }
  }
  for (const double cap : {0.0, 0.8}) {
    compare(
        [&](const auto& x, at::Device device) {
          return packed_attention(x[0], x[1], x[2], packer.tokens_on(device), {0.3, 6, cap, x[3]});
        },
        {random({n, 4, 16}), random({n, 2, 16}), random({n, 2, 16}), random({4})}, {n, 4, 16},
        rounding(at::kFloat));
  }
  // A head size that flash attention does not take.
  compare(
      [&](const auto& x, at::Device device) {
        return packed_attention(x[0], x[1], x[2], packer.tokens_on(device), {0.3});
      },
      {random({n, 4, 12}, at::kBFloat16), random({n, 2, 12}, at::kBFloat16),
       random({n, 2, 12}, at::kBFloat16)},
      {n, 4, 12}, rounding(at::kBFloat16));
  Packer empty;
  empty.add_segment({});
  CHECK(packed_attention(random({0, 4, 16}).to(kFake), random({0, 2, 16}).to(kFake),
                         random({0, 2, 16}).to(kFake), empty.tokens_on(kFake), {0.3})
            .size(0) == 0);
}

TEST_CASE("fake device: norms, rotations and SwiGLU equal the CPU's") {
  fake::start();
  const Tensor angles = random({21, 6}), cos = angles.cos(), sin = angles.sin();
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const double tolerance = rounding(dtype);
    // The weight's master is fp32 whatever the activations are.
    compare([](const auto& x, at::Device) { return rms_norm(x[0], x[1], 1e-5); },
            {random({30, 50}, dtype), random({50}).to(at::kBFloat16).to(at::kFloat)}, {30, 50}, tolerance);
    compare([](const auto& x, at::Device) { return rms_norm(x[0], x[1], 1e-5); },
            {random({9, 4, 10}, dtype), random({10}).to(at::kBFloat16).to(at::kFloat)}, {9, 4, 10},
            tolerance);
    compare([](const auto& x, at::Device) { return swiglu(x[0]); }, {random({40, 38}, dtype, 3.0)}, {40, 19},
            tolerance);
    compare(
        [&](const auto& x, at::Device d) {
          return rotary(x[0], {cos.to(d), sin.to(d)});
        },
        {random({21, 3, 12}, dtype)}, {21, 3, 12}, tolerance);
    for (const bool interleaved : {true, false}) {  // and a part of each head
      compare(
          [&](const auto& x, at::Device d) {
            return rotary(x[0], {cos.to(d).narrow(1, 0, 4), sin.to(d).narrow(1, 0, 4), interleaved});
          },
          {random({21, 3, 12}, dtype)}, {21, 3, 12}, tolerance);
    }
    for (const bool rotates : {true, false}) {
      for (const int part : {0, 1, 2}) {
        compare(
            [&](const auto& x, at::Device d) {
              return split_heads(x[0], 4, 2,
                                 rotates ? RotaryAngles{cos.to(d), sin.to(d)} : RotaryAngles{})[part];
            },
            {random({21, 8 * 12}, dtype)}, {21, part == 0 ? 4 : 2, 12}, tolerance);
      }
    }
  }
}

TEST_CASE("fake device: linear and embedding give masters their gradients") {
  fake::start();
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    compare(
        [&](const auto& x, at::Device) {
          const Tensor compute = at::cat({x[1], x[2]}).detach().to(dtype), bias = x[3].detach().to(dtype);
          return linear(x[0], compute, {x[1], x[2]}, bias, {x[3]});
        },
        {random({9, 8}, dtype), random({5, 8}), random({3, 8}), random({8})}, {9, 8}, rounding(dtype));
    compare(
        [&](const auto& x, at::Device d) {
          return embedding(at::tensor({1, 3, 1, 0}, at::kLong).to(d), x[0].detach().to(dtype), x[0]);
        },
        {random({5, 6})}, {4, 6}, rounding(dtype));
  }
}

TEST_CASE("fake device: log-probs and all that comes with them equal the CPU's") {
  fake::start();
  const int64_t vocab = 53, width = 16;
  Packer packer;
  const int64_t p = packer.add_segment({1, 2, 3});
  const int64_t a = packer.add_segment({4, 5, 6, 7}, p), b = packer.add_segment({8, 9}, p);
  packer.add_targets(a, 0, 4, 0);
  packer.add_targets(b, 0, 2, 1);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const std::vector<Tensor> inputs = {random({9, width}, dtype),
                                        random({vocab, width}, dtype).to(at::kFloat)};
    for (const int64_t chunk : {0, 1, 4}) {
      for (const double cap : {0.0, 3.0}) {
        LogpOptions o;
        o.chunk_rows = chunk, o.law.softcap = cap, o.temperature = 0.7;
        o.top_k = 3, o.mean_logp = o.cosine = o.entropy = o.log_sum_squares = true;
        const auto all = [&](const std::vector<Tensor>& x, at::Device d) {
          return selective_logp(x[0], x[1].detach().to(dtype), x[1], packer.targets_on(d, 2), o);
        };
        for (const int part : {0, 1, 2, 3, 4}) {
          o.entropy_gradient = part > 2;
          compare(
              [&](const auto& x, at::Device d) {
                const LogpResult r = all(x, d);
                return part == 0   ? r.logp
                       : part == 1 ? r.top_logp.sum(1)
                       : part == 2 ? r.logp + 3 * r.mean_logp - 2 * r.cosine
                       : part == 3 ? 2 * r.entropy
                                   : r.logp - r.entropy + 3 * r.mean_logp - 2 * r.cosine;
              },
              inputs, {6}, rounding(dtype));
        }
        o.entropy_gradient = false;
        const LogpResult cpu = all(inputs, at::kCPU),
                         fake = all({inputs[0].to(kFake), inputs[1].to(kFake)}, kFake);
        const auto same = [&](const Tensor& x, const Tensor& y) {
          CHECK((x - y.cpu()).abs().max().item<double>() < 1e-4);
        };
        same(cpu.entropy, fake.entropy);
        same(cpu.log_sum_squares, fake.log_sum_squares);
        CHECK(at::equal(cpu.top_token, fake.top_token.cpu()));
      }
    }
    // Log-probs alone, of tokens that are nearly certain too.
    for (const double scale : {1.0, 20.0}) {
      compare(
          [&](const auto& x, at::Device d) {
            LogpOptions o;
            o.chunk_rows = 4, o.temperature = 0.7;
            return selective_logp(x[0], x[1].detach().to(dtype), x[1], packer.targets_on(d, 2), o).logp;
          },
          {inputs[0] * scale, inputs[1]}, {6}, rounding(dtype));
    }
    const Tensor source = at::tensor({2, 3, 3, 8, 0}, at::kLong);
    const Tensor token =
        at::tensor({1, 2, 2, 52, 0, 0, 7, 7, 7, 3, 4, 5, 9, 52, 9}, at::kLong).reshape({5, 3});
    compare(
        [&](const auto& x, at::Device d) {
          return gather_logp(x[0], x[1].detach().to(dtype), x[1], source.to(d), token.to(d), {0.5, 1.5}, 2);
        },
        inputs, {5, 3}, rounding(dtype));
  }
}

TEST_CASE("fake device: divergences from two teachers equal the CPU's") {
  fake::start();
  const int64_t vocab = 53;
  Packer packer;
  const int64_t s = packer.add_segment({1, 2, 3, 4, 5, 6, 7});
  packer.add_targets(s, 1, 7, 0);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const Tensor t1 = random({7, 8}, dtype), h1 = random({vocab, 8}, dtype), t2 = random({7, 24}, dtype),
                 h2 = random({vocab, 24}, dtype);
    for (const double beta : {0.0, 0.3, 1.0}) {
      for (const double temperature : {1.0, 2.0}) {
        for (const int part : {0, 1, 2}) {
          CAPTURE(beta);
          CAPTURE(part);
          compare(
              [&](const auto& x, at::Device d) {
                DivergenceOptions o;
                o.beta = beta, o.temperature = temperature, o.chunk_rows = 4;
                o.law = {0.5, 2.0};
                const auto r = divergence(x[0], x[1].detach().to(dtype), x[1],
                                          {{t1.to(d), h1.to(d)}, {t2.to(d), h2.to(d), {0.7, 3.0}}},
                                          packer.targets_on(d, 1), o);
                return part == 0 ? r.divergence : part == 1 ? r.nll : r.divergence + r.teacher_nll + r.nll;
              },
              {random({7, 16}, dtype), random({vocab, 16}, dtype).to(at::kFloat)}, {6}, rounding(dtype));
        }
      }
    }
  }
}

TEST_CASE("fake device: neither scores of all pairs nor whole logits are ever there") {
  fake::start();
  Packer packer;
  const int64_t p = packer.add_segment(some_ids(700));
  for (int i = 0; i < 4; ++i) packer.add_targets(packer.add_segment(some_ids(200), p), 0, 200, i);
  const int64_t n = packer.tokens(), vocab = 3000, width = 16;
  const PackedTokens batch = packer.tokens_on(kFake);
  const Targets targets = packer.targets_on(kFake, 4);
  const auto leaf = [](const Tensor& x) { return x.to(kFake).requires_grad_(true); };
  const Tensor q = leaf(random({n, 4, 16}, at::kBFloat16)), k = leaf(random({n, 2, 16}, at::kBFloat16)),
               hidden = leaf(random({n, width}, at::kBFloat16)), head = leaf(random({vocab, width}));
  const Tensor compute = head.detach().to(at::kBFloat16);
  fake::counters().largest = 0;
  LogpOptions o;
  o.chunk_rows = 64;
  const Tensor logp = selective_logp(hidden, compute, head, targets, o).logp;
  const Tensor attended = packed_attention(q, k, k, batch, {0.25});
  torch::autograd::backward({logp.cpu().sum(), attended.to(at::kFloat).sum().cpu()}, {});
  CHECK(fake::counters().largest <= 64 * vocab * 4);
}

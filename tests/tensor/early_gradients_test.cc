// selective_logp's gradients that are computed with the logits, beside those of a second pass and of the
// plain formula.
#include <ATen/ATen.h>

#include "tensor/compare.h"
#include "tensor/logp.h"
#include "test.h"

using at::Tensor;
using namespace temper;

namespace {

constexpr int64_t kVocab = 53, kWidth = 12, kTokens = 9;

struct Head {
  Tensor hidden = random({kTokens, kWidth}), weight = random({kVocab, kWidth});
  Targets targets;
  Head() {
    targets.token = at::tensor({4, 5, 6, 7, 8, 9, 52}, at::kLong);
    targets.source = at::tensor({2, 3, 4, 5, 2, 7, 8}, at::kLong);  // 2 has two
    targets.sequence = at::tensor({0, 0, 0, 0, 1, 1, 1}, at::kLong);
    targets.sequences = 2;
  }
};

// Gradients of sum(logp * weights) + a loss of the other outputs, of hidden and, if it trains, of the head.
Tensors gradients_of(const Head& head, const LogpOptions& o, const Tensor& weights, bool head_trains,
                     bool plain = false, const std::function<Tensor(const LogpResult&)>& more = {}) {
  const Tensor hidden = head.hidden.clone().requires_grad_(true);
  const Tensor master = head.weight.clone().requires_grad_(head_trains);
  const auto f = plain ? reference::selective_logp : selective_logp;
  const LogpResult r = f(hidden, master.detach(), master, head.targets, o);
  Tensor loss = (r.logp * weights).sum();
  if (more) loss = loss + more(r);
  torch::autograd::backward({loss}, {});
  return {hidden.grad(), head_trains ? master.grad() : Tensor()};
}

void check_same(const Tensors& got, const Tensors& want, double tolerance) {
  for (size_t i = 0; i < want.size(); ++i) {
    REQUIRE(got[i].defined() == want[i].defined());
    if (want[i].defined()) CHECK(worst(got[i], want[i]) <= tolerance);
  }
}

}  // namespace

TEST_CASE("gradients that were expected, or of a frozen head, equal those of a second pass") {
  const Head head;
  const Tensor weights = at::tensor({0.5f, -1.0f, 0.0f, 2.0f, -0.25f, 0.0f, 1.0f});
  for (const int64_t chunk : {0, 1, 3}) {
    for (const double cap : {0.0, 3.0}) {
      for (const bool head_trains : {true, false}) {
        CAPTURE(chunk);
        CAPTURE(cap);
        LogpOptions o;
        o.chunk_rows = chunk;
        o.law.softcap = cap;
        o.temperature = 0.7;
        o.entropy = true;
        const Tensors want = gradients_of(head, o, weights, head_trains, true);
        check_same(gradients_of(head, o, weights, head_trains), want, 5e-6);
        o.expected = weights;
        check_same(gradients_of(head, o, weights, head_trains), want, 5e-6);
      }
    }
  }
}

TEST_CASE("an expectation that is not kept costs nothing but time") {
  const Head head;
  const Tensor weights = at::tensor({0.5f, -1.0f, 0.0f, 2.0f, -0.25f, 0.0f, 1.0f});
  for (const bool head_trains : {true, false}) {
    LogpOptions o;
    const Tensors plain = gradients_of(head, o, weights, head_trains, true);
    o.expected = weights * 2;
    check_same(gradients_of(head, o, weights, head_trains), plain, 5e-6);
    // Other outputs have gradients too.
    o.expected = weights;
    o.entropy = o.entropy_gradient = true;
    const auto entropy = [](const LogpResult& r) { return r.entropy.sum(); };
    check_same(gradients_of(head, o, weights, head_trains, false, entropy),
               gradients_of(head, o, weights, head_trains, true, entropy), 2e-5);
  }
  LogpOptions o;
  o.expected = at::zeros({3});
  CHECK_THROWS(selective_logp(head.hidden, head.weight, head.weight, head.targets, o));
}

TEST_CASE("what is computed early is what the gradients are made of") {
  // The logits' second product is left out: with a hidden state changed behind forward's back nothing
  // changes.
  const Head head;
  const Tensor weights = at::ones({7});
  LogpOptions o;
  o.expected = weights;
  const Tensors want = gradients_of(head, o, weights, true);
  const Tensor hidden = head.hidden.clone().requires_grad_(true);
  const Tensor master = head.weight.clone().requires_grad_(true), compute = head.weight.clone();
  const LogpResult r = selective_logp(hidden, compute, master, head.targets, o);
  const Tensor loss = r.logp.sum();
  compute.data_ptr<float>()[0] += 100;  // no version counter sees this
  torch::autograd::backward({loss}, {});
  CHECK(at::equal(hidden.grad(), want[0]));
  CHECK(at::equal(master.grad(), want[1]));
}

TEST_CASE("entropy of sharp and of flat distributions") {
  for (const double scale : {0.01, 1.0, 30.0}) {
    Head head;
    head.hidden = head.hidden * scale;
    LogpOptions o;
    o.entropy = true;
    const Tensor got = selective_logp(head.hidden, head.weight, head.weight, head.targets, o).entropy;
    const Tensor logits = at::mm(head.hidden.to(at::kDouble), head.weight.to(at::kDouble).t())
                              .index_select(0, head.targets.source);
    const Tensor logp = at::log_softmax(logits, -1);
    CHECK(worst(got, -(logp.exp() * logp).sum(-1)) <= 3e-6 * std::max(1.0, scale));
  }
}

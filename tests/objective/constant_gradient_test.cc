#include "objective/constant_gradient.h"

#include <ATen/ATen.h>

#include "objective/policy/policy.h"
#include "objective/supervised/supervised.h"
#include "test.h"

using at::Tensor;
using namespace temper;
using namespace temper::objective;

TEST_CASE("a derivative that does not depend on the log-probs is found, any other is not") {
  const Tensor weights = at::tensor({0.5f, -2.0f, 0.0f});
  CHECK(at::equal(constant_gradient(3, [&](const Tensor& logp) { return (logp * weights).sum(); }), weights));
  CHECK(!constant_gradient(3, [](const Tensor& logp) { return logp.square().sum(); }).defined());
  CHECK(!constant_gradient(3, [](const Tensor& logp) { return logp.detach().sum(); }).defined());
  CHECK(!constant_gradient(3, [](const Tensor& logp) { return at::sigmoid(logp.sum()); }).defined());
  // The ratio to oneself is 1, whatever the log-probs.
  const Tensor on_policy = constant_gradient(
      3, [&](const Tensor& logp) { return ((logp - logp.detach()).exp() * weights).sum(); });
  CHECK(at::equal(on_policy, weights));
}

#include "objective/supervised.h"

#include "base/error.h"
#include "cases.h"

namespace temper::objective {
namespace {

Json evaluate(const std::string& name, const std::vector<std::vector<double>>& rows,
              const Json& set = Json::object()) {
  Json sequences = Json::array();
  for (const auto& row : rows) sequences.push_back({{"logp", row}});
  return evaluate_objective(name, {{"sequences", sequences}}, set);
}
double loss_of(const std::string& name, const std::vector<std::vector<double>>& rows,
               const Json& set = Json::object()) {
  return evaluate(name, rows, set)["loss"];
}

}  // namespace

TEST_CASE("supervised losses: values and gradients of TRL and of the formulas") {
  check_golden_file("supervised.json");
}

TEST_CASE("comp_sum passes through cross entropy and ends at the mean absolute error") {
  const std::vector<std::vector<double>> rows = {{-0.5, -1.2}, {-3.0}};
  CHECK(loss_of("comp_sum", rows, {{"tau", 1}}) == loss_of("nll", rows));
  CHECK(loss_of("comp_sum", rows, {{"tau", 1.0001}}) == doctest::Approx(loss_of("nll", rows)).epsilon(1e-3));
  CHECK(loss_of("comp_sum", rows, {{"tau", 2}}) ==
        doctest::Approx((3 - std::exp(-0.5) - std::exp(-1.2) - std::exp(-3.0)) / 3));
}

TEST_CASE("dco with one try is cross entropy, and many tries forget what already passes") {
  const std::vector<std::vector<double>> rows = {{-0.5, -1.2}, {-3.0}, {-400.0, -500.0}};
  const Json one = evaluate("dco", rows, {{"n", 1}}), nll = evaluate("nll", rows);
  CHECK(one["loss"].get<double>() == doctest::Approx(nll["loss"].get<double>()).epsilon(1e-12));
  CHECK(worst_difference(one["grad"]["logp"], nll["grad"]["logp"]) < 1e-12);
  const Json many = evaluate("dco", {{-0.1}, {-40.0}}, {{"n", 100}});
  CHECK(std::abs(many["grad"]["logp"][0][0].get<double>()) < 1e-50);
  CHECK(many["grad"]["logp"][1][0].get<double>() == doctest::Approx(-0.5));
  // No step where the series takes over.
  const double at = -20.0 - std::log(16.0);
  CHECK(loss_of("dco", {{at - 1e-9}}, {{"n", 16}}) ==
        doctest::Approx(loss_of("dco", {{at + 1e-9}}, {{"n", 16}})).epsilon(1e-8));
}

TEST_CASE("every supervised loss is finite at both ends and does not depend on the order") {
  for (const std::string& name : supervised_registry().names()) {
    CAPTURE(name);
    const auto loss = supervised_registry().find(name)->make()->make();
    for (const auto type : {at::kFloat, at::kDouble}) {
      const at::Tensor logp = at::tensor({0.0, -100.0, -1.0, -2000.0, -0.5}, type).requires_grad_();
      const SupervisedBatch batch{logp, at::tensor({0, 0, 2, 2, 3}, at::kLong), 4};
      const at::Tensor value = (*loss)(batch);
      CHECK(value.sizes() == logp.sizes());
      CHECK(value.isfinite().all().item<bool>());
      CHECK(torch::autograd::grad({value.sum()}, {logp})[0].isfinite().all().item<bool>());
    }
    const double a = loss_of(name, {{-0.5, -1.2}, {-3.0}}), b = loss_of(name, {{-3.0}, {-1.2, -0.5}});
    CHECK(a == doctest::Approx(b).epsilon(1e-12));
  }
}

}  // namespace temper::objective

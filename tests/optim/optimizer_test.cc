#include "optim/optimizer.h"

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "made_up.h"

namespace temper {
namespace {

std::vector<OptimParameter> random_parameters(const OptimizerOptions& options) {
  std::vector<std::pair<std::string, at::Tensor>> named;
  RandomStream random(1, "test");
  for (const char* name : {"a.weight", "b.lora_B", "norm.weight"}) {
    std::vector<double> values(12);
    for (double& x : values) x = random.normal();
    named.emplace_back(name, at::tensor(values, at::kFloat).reshape({3, 4}));
  }
  return options.parameters(named);
}

}  // namespace

TEST_CASE("a state that does not fit is refused and changes nothing") {
  auto options = options_of("adamw", Json::object());
  auto parameters = random_parameters(*options);
  auto optimizer = options->make(parameters);
  for (OptimParameter& p : parameters) p.value.mutable_grad() = made_up_gradient(0, p.value);
  optimizer->step(0.01);
  const std::map<std::string, at::Tensor> good = optimizer->state();
  auto changed = good;
  changed["a.weight/exp_avg"] = at::zeros({4, 3});
  CHECK_THROWS_WITH_AS(optimizer->load_state(changed),
                       doctest::Contains("shape [3, 4] expected, [4, 3] found"), UserError);
  changed = good;
  changed["c.weight/exp_avg"] = at::zeros({3, 4});
  CHECK_THROWS_WITH_AS(optimizer->load_state(changed),
                       doctest::Contains("c.weight/exp_avg belongs to no parameter"), UserError);
  changed = good;
  changed.erase("a.weight/exp_avg_sq");
  CHECK_THROWS_WITH_AS(optimizer->load_state(changed), doctest::Contains("2 of them found"), UserError);
  changed = good;
  changed["a.weight/step"] = at::scalar_tensor(1.0);
  CHECK_THROWS_WITH_AS(optimizer->load_state(changed), doctest::Contains("one positive int64"), UserError);
  changed = good;
  changed["a.weight/exp_avg"] = at::zeros({3, 4}, at::kDouble);
  CHECK_THROWS_WITH_AS(optimizer->load_state(changed), doctest::Contains("type Float expected, Double found"),
                       UserError);
  for (const auto& [key, tensor] : optimizer->state()) CHECK(at::equal(tensor, good.at(key)));
}

TEST_CASE("rules by name") {
  auto options = options_of("adamw", parse_json(R"({"weight_decay": 0.1,
      "lr_rules": [{"match": "lora_B", "factor": 16}, {"match": "b.", "factor": 2}, {"match": "a.", "factor": 0.5}]})",
                                                "t"));
  options->lr_rules.erase(options->lr_rules.begin() + 1);
  const auto parameters = random_parameters(*options);
  CHECK(parameters[0].lr_factor == 0.5);
  CHECK(parameters[1].lr_factor == 16);
  CHECK(parameters[2].lr_factor == 1);
  CHECK(parameters[0].decays);
  CHECK_FALSE(parameters[2].decays);
  options->lr_rules[0].match = "lora_C";
  CHECK_THROWS_WITH_AS(random_parameters(*options), doctest::Contains("optimizer.lr_rules.0"), UserError);
  CHECK_THROWS_WITH_AS(options_of("sgd", {{"nesterov", true}}),
                       doctest::Contains("nesterov needs a momentum"), UserError);
  CHECK_THROWS_WITH_AS(options_of("adamw", {{"beta_1", 0.5}}), doctest::Contains("did you mean \"beta1\""),
                       UserError);

  // A factor acts on the step, and no gradient means no change.
  auto plain = options_of("sgd", parse_json(R"({"lr_rules": [{"match": "lora_B", "factor": 16}]})", "t"));
  auto moved = random_parameters(*plain);
  const at::Tensor before = moved[1].value.clone(), still = moved[0].value.clone();
  moved[1].value.mutable_grad() = at::ones({3, 4});
  plain->make(moved)->step(0.01);
  CHECK(at::allclose(before - moved[1].value, at::full({3, 4}, 0.16), 1e-5, 1e-6));
  CHECK(at::equal(still, moved[0].value));
}

TEST_CASE("gradient norm and clipping") {
  RandomStream random(3, "norm");
  std::vector<OptimParameter> parameters;
  for (int64_t size : {1, 15, 65536, 65537, 200001}) {
    at::Tensor gradient = at::empty({size}, at::kFloat);
    for (int64_t i = 0; i < size; ++i)
      gradient.data_ptr<float>()[i] = static_cast<float>(random.normal() * 1e-3);
    OptimParameter p{"p", at::zeros({size})};
    p.value.mutable_grad() = gradient;
    parameters.push_back(p);
  }
  parameters.push_back({"none", at::zeros({3})});
  OptimParameter transposed{"t", at::zeros({7, 5}).t()};
  transposed.value.mutable_grad() = at::arange(35, at::kFloat).reshape({7, 5}).t();
  parameters.push_back(transposed);

  const double norm = gradient_norm(parameters);
  CHECK(norm == doctest::Approx(reference::gradient_norm(parameters)).epsilon(1e-12));
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  CHECK(gradient_norm(parameters) == norm);
  at::set_num_threads(threads);

  const at::Tensor before = parameters[4].value.grad().clone();
  clip_gradients(parameters, norm, 2 * norm);
  clip_gradients(parameters, norm, 0);
  CHECK(at::equal(before, parameters[4].value.grad()));
  clip_gradients(parameters, norm, norm / 4);
  CHECK(gradient_norm(parameters) == doctest::Approx(norm / 4).epsilon(1e-6));

  parameters[0].value.mutable_grad() = at::full({1}, std::nan(""));
  CHECK(std::isnan(gradient_norm(parameters)));
}

}  // namespace temper

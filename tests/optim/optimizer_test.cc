#include "optim/optimizer.h"

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "optim/reference.h"
#include "test.h"

namespace temper {
namespace {

std::unique_ptr<OptimizerOptions> options_of(const std::string& name, const Json& json) {
  auto options = optimizer_registry().find(name)->make();
  read_fields(*options, json, "test", ".");
  return options;
}

at::Tensor tensor_of(const Json& numbers, const std::vector<int64_t>& shape) {
  return at::tensor(numbers.get<std::vector<double>>(), at::kDouble).reshape(shape).to(at::kFloat);
}

// The gradient of scripts/oracles/optimizers.py.
at::Tensor made_up_gradient(int64_t step, const at::Tensor& value) {
  const at::Tensor index = at::arange(value.numel(), at::kDouble).reshape(value.sizes());
  const at::Tensor wave =
      at::sin(0.7 * index + 0.3 * static_cast<double>(step)) * (1.0 + 0.1 * static_cast<double>(step));
  return (value.to(at::kDouble) * 0.5 + wave).to(at::kFloat);
}

double worst_relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs() / b.abs().clamp_min(1e-2)).max().item<double>();
}

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

TEST_CASE("optimizers follow torch.optim over 50 steps") {
  const Json golden = read_json_file(test_file("optim/golden/optimizers.json"));
  for (const Json& item : golden["cases"]) {
    CAPTURE(item["name"].get<std::string>() + item["options"].dump());
    auto options = options_of(item["name"], item["options"]);
    std::vector<std::pair<std::string, at::Tensor>> named;
    for (const auto& [name, start] : item["start"].items()) {
      named.emplace_back(name, tensor_of(start, item["shape"][name].get<std::vector<int64_t>>()));
    }
    auto optimizer = options->make(options->parameters(named));
    for (int64_t step = 0; step < golden["steps"].get<int64_t>(); ++step) {
      for (auto& [name, value] : named) value.mutable_grad() = made_up_gradient(step, value);
      optimizer->step(options->lr);
    }
    for (const auto& [name, value] : named) {
      CHECK(worst_relative(value, tensor_of(item["end"][name], value.sizes().vec())) < 2e-6);
    }
    const auto state = optimizer->state();
    for (const auto& [key, expected] : item["state"].items()) {
      REQUIRE(state.count(key) == 1);
      CHECK(worst_relative(state.at(key), tensor_of(expected, state.at(key).sizes().vec())) < 2e-6);
    }
    CHECK(state.at("a.weight/step").item<int64_t>() == golden["steps"].get<int64_t>());
  }
}

TEST_CASE("fused adamw equals the plain formula") {
  auto options = options_of("adamw", {{"weight_decay", 0.1}, {"beta2", 0.99}});
  at::Tensor fused = at::linspace(-2, 2, 1000, at::kFloat), plain = fused.to(at::kDouble);
  at::Tensor m = at::zeros_like(plain), v = at::zeros_like(plain);
  auto optimizer = options->make({{"w", fused}});
  for (int64_t step = 1; step <= 20; ++step) {
    const at::Tensor gradient = made_up_gradient(step, plain.to(at::kFloat));
    fused.mutable_grad() = gradient;
    optimizer->step(0.01);
    reference::adamw_step(plain, gradient.to(at::kDouble), m, v, step, {0.01, 0.9, 0.99, 1e-8, 0.1});
  }
  CHECK((fused.to(at::kDouble) - plain).abs().max().item<double>() < 3e-6);  // fp32 rounding of values up to 2
}

TEST_CASE("a run that is stored and loaded goes on with the same bits") {
  for (const char* name : {"adamw", "sgd"}) {
    auto options = options_of(name, std::string(name) == "sgd" ? Json{{"momentum", 0.9}} : Json::object());
    auto straight = random_parameters(*options), stopped = random_parameters(*options);
    auto run = [&](std::vector<OptimParameter>& parameters, Optimizer& optimizer, int64_t from, int64_t to) {
      for (int64_t step = from; step < to; ++step) {
        for (OptimParameter& p : parameters) {
          // The second one is not trained in the first steps: it has no state when the run stops.
          if (p.name == "b.lora_B" && step < 6) continue;
          p.value.mutable_grad() = made_up_gradient(step, p.value);
        }
        optimizer.step(0.01);
      }
    };
    auto whole = options->make(straight);
    run(straight, *whole, 0, 10);
    auto first = options->make(stopped);
    run(stopped, *first, 0, 5);
    std::map<std::string, at::Tensor> saved;
    for (const auto& [key, tensor] : first->state()) saved[key] = tensor.clone();
    CHECK(saved.count("b.lora_B/step") == 0);
    for (OptimParameter& p : stopped) p.value.mutable_grad().reset();
    auto second = options->make(stopped);
    second->load_state(saved);
    run(stopped, *second, 5, 10);
    for (size_t i = 0; i < straight.size(); ++i) CHECK(at::equal(straight[i].value, stopped[i].value));
    for (const auto& [key, tensor] : whole->state()) CHECK(at::equal(tensor, second->state().at(key)));
    int64_t bytes = 0;
    for (const auto& [key, tensor] : whole->state()) bytes += static_cast<int64_t>(tensor.nbytes());
    CHECK(whole->state_bytes() == bytes);
  }
}

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

// Parameters that leave and join an optimizer between its steps.
#include <ATen/ATen.h>

#include "base/error.h"
#include "base/json.h"
#include "optim/optimizer.h"
#include "test.h"

namespace temper {
namespace {

std::unique_ptr<OptimizerOptions> default_options(const std::string& name) {
  auto options = optimizer_registry().find(name)->make();
  read_fields(*options, name == "sgd" ? Json{{"momentum", 0.9}} : Json::object(), "test", ".");
  options->prepare(100);
  return options;
}

std::vector<OptimParameter> two() {
  return {{"a", at::linspace(-1, 1, 12, at::kFloat).reshape({3, 4})},
          {"b", at::linspace(-2, 1, 12, at::kFloat).reshape({4, 3})}};
}

void step(Optimizer& optimizer, std::vector<OptimParameter>& parameters, int64_t t) {
  for (OptimParameter& p : parameters)
    p.value.mutable_grad() = p.value * 0.5 + at::sin(p.value * 3 + static_cast<double>(t));
  optimizer.step(0.01);
  for (OptimParameter& p : parameters) p.value.mutable_grad().reset();
}

}  // namespace

TEST_CASE("a parameter that leaves takes its state along; back with it, it goes on with the same bits") {
  for (const std::string& name : optimizer_registry().names()) {
    CAPTURE(name);
    auto options = default_options(name);
    auto stayed = two(), left = two();
    auto whole = options->make(stayed), other = options->make(left);
    for (int64_t t = 0; t < 3; ++t) {
      step(*whole, stayed, t);
      step(*other, left, t);
    }
    const auto state = other->forget("b");
    CHECK(state.at("step").item<int64_t>() == 3);
    for (const auto& [key, tensor] : other->state()) CHECK(key.starts_with("a/"));
    const auto value = left[1].value.clone();
    step(*other, left, 3);  // "b" has a gradient, and is nobody's
    CHECK(at::equal(left[1].value, value));

    // The same values in another tensor, as a new master is.
    left[1].value = left[1].value.clone();
    other->add(left[1], state);
    std::vector<OptimParameter> just_b = {stayed[1]}, other_b = {left[1]};
    for (int64_t t = 3; t < 6; ++t) {
      step(*whole, just_b, t);
      step(*other, other_b, t);
    }
    CHECK(at::equal(stayed[1].value, left[1].value));
    for (const auto& [key, tensor] : other->state()) {
      if (key.starts_with("b/")) CHECK(at::equal(tensor, whole->state().at(key)));
    }
  }
}

TEST_CASE("a parameter that comes back without state is as one that was never there") {
  for (const std::string& name : optimizer_registry().names()) {
    CAPTURE(name);
    auto options = default_options(name);
    auto old = two(), fresh = two();
    auto optimizer = options->make(old);
    for (int64_t t = 0; t < 4; ++t) step(*optimizer, old, t);
    optimizer->forget("b");
    fresh[1].value.copy_(old[1].value);
    optimizer->add(old[1]);
    auto anew = options->make({fresh[1]});
    std::vector<OptimParameter> old_b = {old[1]}, fresh_b = {fresh[1]};
    for (int64_t t = 4; t < 8; ++t) {
      step(*optimizer, old_b, t);
      step(*anew, fresh_b, t);
    }
    CHECK(at::equal(old[1].value, fresh[1].value));
    CHECK(optimizer->state().at("b/step").item<int64_t>() == 4);
    CHECK(optimizer->state().at("a/step").item<int64_t>() == 4);
  }
}

TEST_CASE("who is there already, who is not, and a state that does not fit") {
  auto options = default_options("adamw");
  auto parameters = two();
  auto optimizer = options->make(parameters);
  step(*optimizer, parameters, 0);
  CHECK_THROWS_AS(optimizer->add(parameters[0]), std::logic_error);
  CHECK_THROWS_AS(optimizer->forget("c"), std::logic_error);
  auto state = optimizer->forget("b");
  state["exp_avg"] = at::zeros({2});
  const auto before = optimizer->state();
  CHECK_THROWS_WITH_AS(optimizer->add(parameters[1], state), doctest::Contains("b/exp_avg"), UserError);
  CHECK(optimizer->state().size() == before.size());
  CHECK(optimizer->state_bytes() == 12 * 2 * 4 + 8);
  CHECK(options->make({parameters[1]})->forget("b").empty());
}

}  // namespace temper

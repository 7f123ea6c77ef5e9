// Optimizers, the gradient's norm and dropout on an accelerator beside the CPU: the same numbers, and nothing
// that the host waits for.
#include <ATen/ATen.h>

#include <set>

#include "adapter/lora/product.h"
#include "device/fake_device.h"
#include "optim/made_up.h"
#include "optim/optimizer.h"

using namespace temper;
using temper::fake::kFake;

namespace {

struct Case {
  std::string name;
  Json options = Json::object();
  double tolerance = 1e-5;  // of the largest number of a tensor
};

// Each kind, and each option that changes what an update computes.
const std::vector<Case>& cases() {
  // Muon's products are in bf16, SOAP's bases of decompositions that magnify rounding. A number in 8 bits
  // that lies between two codes may be rounded to either.
  static const std::vector<Case> all = {
      {"adamw"},
      {"adamw8bit", {{"min_size", 300}}, 1e-3},
      {"sgd"},
      {"sgd", {{"momentum", 0.9}, {"dampening", 0.1}}},
      {"sgd", {{"momentum", 0.9}, {"nesterov", true}}},
      {"lion"},
      {"lion", {{"norm", "rows"}, {"p", 1.5}}},
      {"ademamix"},
      {"ademamix", {{"beta1", 0}}},
      {"soap", {{"frequency", 2}}, 5e-3},
      {"adafactor"},
      {"adafactor", {{"beta1", 0.9}, {"lr", 0.01}}},
      {"adafactor", {{"scale_parameter", false}, {"lr", 0.01}}},
      {"adafactor", {{"form", "torch"}}},
      {"muon", Json::object(), 5e-3},
      {"adamw", {{"lookahead", {{"k", 2}, {"momentum", "pull_back"}}}}},
      {"adamw8bit", {{"min_size", 300}, {"lookahead", {{"k", 2}, {"momentum", "reset"}}}}, 1e-3}};
  return all;
}

std::unique_ptr<OptimizerOptions> options_of(const Case& item) {
  Json json = item.options;
  json["weight_decay"] = 0.1;
  json["lr_rules"] = {{{"match", "b."}, {"factor", 2}}};
  auto options = temper::options_of(item.name, json);
  options->prepare(20);
  return options;
}

// Parameters of several shapes; the second joins late, the last never has a gradient.
std::vector<OptimParameter> parameters(const OptimizerOptions& options, at::Device device) {
  std::vector<std::pair<std::string, at::Tensor>> named;
  double phase = 0;
  for (const auto& [name, shape] :
       std::vector<std::pair<std::string, std::vector<int64_t>>>{{"a.weight", {40, 17}},
                                                                 {"late.weight", {8, 24}},
                                                                 {"b.weight", {16, 32}},
                                                                 {"embed.weight", {24, 16}},
                                                                 {"a.norm", {5}},
                                                                 {"cube", {3, 4, 5}},
                                                                 {"still", {7}}}) {
    const int64_t size = c10::multiply_integers(shape);
    named.emplace_back(
        name, at::sin(at::arange(size, at::kFloat).mul_(0.37).add_(++phase)).reshape(shape).to(device));
  }
  return options.parameters(named);
}

// Of the numbers that the parameters of the CPU have, so that both devices are given the same.
at::Tensor gradient_of(const OptimParameter& parameter, int64_t step) {
  if (parameter.name == "still" || (parameter.name == "late.weight" && step < 2)) return {};
  return made_up_gradient(step, parameter.value);
}

void check_near(const at::Tensor& wanted, const at::Tensor& found, double tolerance) {
  REQUIRE(found.device() == kFake);
  REQUIRE((found.scalar_type() == wanted.scalar_type()));
  const at::Tensor a = wanted.to(at::kDouble), b = found.cpu().to(at::kDouble);
  if (wanted.scalar_type() == at::kByte) {  // codes of 8 bits
    CHECK((a - b).abs().max().item<double>() <= 1);
    CHECK((a != b).sum().item<int64_t>() <= wanted.numel() / 50);
  } else {
    CHECK((a - b).abs().max().item<double>() <= tolerance * a.abs().max().item<double>());
  }
}

}  // namespace

TEST_CASE("fake device: an update of every optimizer is the CPU's, and the host reads nothing") {
  fake::start();
  std::set<std::string> met;
  for (const Case& item : cases()) {
    met.insert(item.name);
    CAPTURE(item.name + item.options.dump());
    const auto options = options_of(item);
    auto host = parameters(*options, at::kCPU), device = parameters(*options, kFake);
    const auto on_host = options->make(host), on_device = options->make(device);
    for (int64_t step = 0; step < 6; ++step) {
      for (size_t i = 0; i < host.size(); ++i) {
        const at::Tensor gradient = gradient_of(host[i], step);
        host[i].value.mutable_grad() = gradient;
        device[i].value.mutable_grad() = gradient.defined() ? gradient.to(kFake) : gradient;
      }
      on_host->step(0.01);
      const fake::Counters before = fake::counters();
      on_device->step(0.01);
      CHECK(fake::counters().scalars_read == before.scalars_read);
      CHECK(fake::counters().to_host == before.to_host);
      // adamw8bit's maps of codes go there once.
      if (step > 0) CHECK(fake::counters().to_device == before.to_device);
    }
    for (size_t i = 0; i < host.size(); ++i) {
      CAPTURE(host[i].name);
      check_near(host[i].value, device[i].value, item.tolerance);
    }
    const auto wanted = on_host->state(), found = on_device->state();
    REQUIRE(wanted.size() == found.size());
    for (const auto& [name, tensor] : wanted) {
      CAPTURE(name);
      if (name.ends_with("/step"))
        CHECK(at::equal(tensor, found.at(name)));
      else
        check_near(tensor, found.at(name), item.tolerance);
    }
  }
  for (const std::string& name : optimizer_registry().names()) CHECK(met.count(name) == 1);
}

TEST_CASE("fake device: adamw's operators are those of its groups, however many parameters there are") {
  fake::start();
  const auto options = temper::options_of(
      "adamw", {{"weight_decay", 0.1}, {"lr_rules", {{{"match", "fast"}, {"factor", 2}}}}});
  const auto operators_of_a_step = [&](int64_t layers) {
    std::vector<std::pair<std::string, at::Tensor>> named;
    for (int64_t layer = 0; layer < layers; ++layer) {
      for (const std::string part : {"weight", "fast", "norm"})
        named.emplace_back(std::to_string(layer) + "." + part, at::full({3, 5 + layer}, 0.5, kFake));
    }
    auto all = options->parameters(named);
    const auto optimizer = options->make(all);
    for (OptimParameter& p : all) p.value.mutable_grad() = at::ones_like(p.value);
    optimizer->step(0.01);  // makes the state
    const fake::Counters before = fake::counters();
    optimizer->step(0.01);
    const fake::Counters& after = fake::counters();
    CHECK(after.by_name.at("aten::_fused_adamw_") - before.by_name.at("aten::_fused_adamw_") == 3);
    return after.operators - before.operators;
  };
  CHECK(operators_of_a_step(1) == operators_of_a_step(12));
}

TEST_CASE("fake device: the norm of the whole gradient is one number read, and clipping reads none") {
  fake::start();
  for (const int64_t count : {1, 3, 40}) {
    CAPTURE(count);
    std::vector<OptimParameter> host, device;
    for (int64_t i = 0; i < count; ++i) {
      // Gradients of other types and layouts among them.
      at::Tensor gradient = at::sin(at::arange(6 * (i + 1), at::kFloat)).reshape({i + 1, 6});
      if (i % 3 == 1) gradient = gradient.to(at::kBFloat16);
      if (i % 3 == 2) gradient = gradient.t();
      host.push_back({"p", at::zeros(gradient.sizes(), gradient.options())});
      device.push_back({"p", at::zeros(gradient.sizes(), gradient.options().device(kFake))});
      host.back().value.mutable_grad() = gradient;
      device.back().value.mutable_grad() = gradient.to(kFake);
    }
    device.push_back({"none", at::zeros({3}, kFake)});
    const double wanted = gradient_norm(host);
    const fake::Counters before = fake::counters();
    const double norm = gradient_norm(device);
    CHECK(fake::counters().scalars_read == before.scalars_read + 1);
    CHECK(norm == doctest::Approx(wanted).epsilon(1e-12));
    clip_gradients(host, wanted, wanted / 2);
    clip_gradients(device, norm, norm / 2);
    CHECK(fake::counters().scalars_read == before.scalars_read + 1);
    CHECK(fake::counters().to_host == before.to_host);
    for (int64_t i = 0; i < count; ++i) CHECK(at::equal(host[i].value.grad(), device[i].value.grad().cpu()));
  }
}

TEST_CASE("fake device: lion's metrics leave the device in one copy") {
  fake::start();
  const auto options = temper::options_of("lion", {{"weight_decay", 0.1}});
  auto host = parameters(*options, at::kCPU), device = parameters(*options, kFake);
  const auto on_host = options->make(host), on_device = options->make(device);
  for (size_t i = 0; i < host.size(); ++i) {
    host[i].value.mutable_grad() = at::ones_like(host[i].value);
    device[i].value.mutable_grad() = at::ones_like(device[i].value);
  }
  on_host->step(0.01);
  on_device->step(0.01);
  const fake::Counters before = fake::counters();
  const auto found = on_device->metrics();
  CHECK(fake::counters().scalars_read == before.scalars_read);
  CHECK(fake::counters().to_host == before.to_host + 1);
  const auto wanted = on_host->metrics();
  REQUIRE(found.size() == 2);
  for (const auto& [name, metric] : wanted) {
    CHECK(found.at(name).value == doctest::Approx(metric.value).epsilon(1e-6));
    CHECK(found.at(name).weight == metric.weight);
  }
}

TEST_CASE("fake device: the dropout mask has the CPU's bits") {
  fake::start();
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {37, 64}, {65, 83}}) {
      for (const Dropout& dropout :
           {Dropout{0.1, 1, 2, 3}, Dropout{0.5, ~uint64_t{0}, uint64_t{1} << 63, 0xffffffff},
            Dropout{1e-6, 7, 0, 0}}) {
        const fake::Counters before = fake::counters();
        const at::Tensor mask = dropout_mask(dropout, rows, columns, at::TensorOptions(kFake).dtype(type));
        CHECK(fake::counters().scalars_read == before.scalars_read);
        CHECK(fake::counters().to_host == before.to_host);
        CHECK(fake::counters().to_device == before.to_device);
        CHECK(mask.device() == kFake);
        CHECK(at::equal(mask.cpu(), dropout_mask(dropout, rows, columns, type)));
      }
    }
  }
}

// What the optimizers compute: against other implementations, against their plain forms, and when a run
// stops.
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "made_up.h"
#include "optim/reference.h"
#include "tensor/blocks8.h"

namespace temper {
namespace {

using Named = std::vector<std::pair<std::string, at::Tensor>>;

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

std::unique_ptr<OptimizerOptions> prepared(const std::string& name, const Json& json, int64_t updates) {
  auto options = options_of(name, json);
  options->prepare(updates);
  return options;
}

at::Tensor normal(RandomStream& random, std::vector<int64_t> shape, double scale = 1.0) {
  at::Tensor out = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < out.numel(); ++i)
    out.data_ptr<float>()[i] = static_cast<float>(scale * random.normal());
  return out;
}

// One of each kind and of each option that changes what the state is.
const std::vector<std::pair<std::string, Json>>& every_state() {
  static const std::vector<std::pair<std::string, Json>> all = {
      {"adamw", Json::object()},
      {"adamw8bit", {{"min_size", 300}}},
      {"sgd", Json::object()},
      {"sgd", {{"momentum", 0.9}}},
      {"lion", Json::object()},
      {"lion", {{"norm", "rows"}, {"p", 1.5}}},
      {"ademamix", Json::object()},
      {"ademamix", {{"beta1", 0}}},
      {"soap", {{"frequency", 3}}},
      {"soap", {{"max_size", 12}}},
      {"adafactor", Json::object()},
      {"adafactor", {{"beta1", 0.9}, {"lr", 0.01}}},
      {"adafactor", {{"form", "torch"}}},
      {"muon", Json::object()},
      {"adamw", {{"lookahead", {{"k", 3}, {"momentum", "pull_back"}}}}},
      {"muon", {{"lookahead", {{"k", 3}, {"momentum", "pull_back"}}}}},
      {"adamw8bit", {{"min_size", 300}, {"lookahead", {{"k", 3}, {"momentum", "reset"}}}}}};
  return all;
}

void check_golden(const char* file, double (*bound)(const std::string& name)) {
  const Json golden = read_json_file(test_file(file));
  const int64_t steps = golden["steps"];
  for (const Json& item : golden["cases"]) {
    const std::string name = item["name"];
    CAPTURE(name + item["options"].dump());
    auto options = prepared(name, item["options"], steps);
    const double lr = item["options"].value("lr", 1.0);
    Named named;
    for (const auto& [parameter, start] : golden["start"].items())
      named.emplace_back(parameter, tensor_of(start, golden["shape"][parameter].get<std::vector<int64_t>>()));
    auto optimizer = options->make(options->parameters(named));
    for (int64_t step = 0; step < steps; ++step) {
      for (auto& [parameter, value] : named) value.mutable_grad() = made_up_gradient(step, value);
      optimizer->step(lr * (1.0 - static_cast<double>(step) / 60.0));
    }
    for (const auto& [parameter, value] : named) {
      CAPTURE(parameter);
      CHECK(relative_error(value, tensor_of(item["end"][parameter], value.sizes().vec())) < bound(name));
    }
    CHECK(optimizer->state().at("norm.weight/step").item<int64_t>() == steps);
  }
}

}  // namespace

TEST_CASE("optimizers follow other implementations over 50 steps") {
  // Muon's products are in bf16: other processors round a number here and there to its neighbour.
  check_golden("optim/golden/optimizers.json",
               [](const std::string& name) { return name == "muon" ? 2e-3 : 1e-6; });
}

TEST_CASE("8-bit moments: the blocks are those of bitsandbytes, and so are 50 steps with them") {
  const Json golden = read_json_file(test_file("optim/golden/optimizers8.json"));
  for (const std::string name : {"signed", "unsigned"}) {
    CAPTURE(name);
    const Json& item = golden["blocks"][name];
    const DynamicMap& map = name == "signed" ? signed_map() : unsigned_map();
    const auto values = item["map"].get<std::vector<float>>();
    for (int code = 0; code < 256; ++code) CHECK(map.value(static_cast<uint8_t>(code)) == values[code]);
    const auto x = item["x"].get<std::vector<float>>(), back = item["back"].get<std::vector<float>>(),
               absmax = item["absmax"].get<std::vector<float>>();
    const auto wanted = item["codes"].get<std::vector<int>>();
    const auto numbers = static_cast<int64_t>(x.size());
    REQUIRE(blocks8(numbers) == static_cast<int64_t>(absmax.size()));
    for (int64_t block = 0; block < blocks8(numbers); ++block) {
      const int64_t at = block * kBlockSize8, n = std::min(kBlockSize8, numbers - at);
      uint8_t codes[kBlockSize8];
      float largest, out[kBlockSize8];
      quantise8(&x[at], n, map, codes, &largest);
      dequantise8(codes, largest, n, map, out);
      CHECK(largest == absmax[block]);
      for (int64_t i = 0; i < n; ++i) {
        CHECK(codes[i] == wanted[at + i]);
        CHECK(out[i] == back[at + i]);
      }
    }
  }
  check_golden("optim/golden/optimizers8.json", [](const std::string&) { return 1e-6; });
}

TEST_CASE("8-bit moments: signs, and gradients that are not finite") {
  auto options = options_of("adamw8bit", {{"min_size", 1}});
  const at::Tensor value = at::ones({300});
  at::Tensor gradient = at::zeros({300});
  gradient[0] = 1.0;
  gradient[1] = -1e-9;  // nearest to 0 beside 1
  gradient[2] = std::nan("");
  auto optimizer = options->make({{"w", value}});
  value.mutable_grad() = gradient;
  optimizer->step(0.1);
  const auto state = optimizer->state();
  const auto code = [&](const char* slot, int i) { return state.at(slot)[i].item<uint8_t>(); };
  CHECK(signed_map().value(code("w/exp_avg_codes", 0)) == 1.0f);
  CHECK(signed_map().value(code("w/exp_avg_codes", 1)) < 0);
  CHECK(signed_map().value(code("w/exp_avg_codes", 2)) == 0);
  CHECK(value[2].item<float>() == 1.0f);
  CHECK(value[0].item<float>() == doctest::Approx(0.9));
  CHECK(state.at("w/exp_avg_absmax")[1].item<float>() == 0);
  CHECK(value[299].item<float>() == 1.0f);
}

TEST_CASE("the fast passes equal the plain formulas, on any number of threads") {
  const int threads = at::get_num_threads();
  const int64_t size = 70001, steps = 20;
  const auto run = [&](const char* name, const Json& json) {
    at::Tensor value = at::linspace(-2, 2, size, at::kFloat);
    auto options = options_of(name, json);
    auto optimizer = options->make({{"w", value}});
    for (int64_t step = 1; step <= steps; ++step) {
      value.mutable_grad() = made_up_gradient(step, at::linspace(-2, 2, size, at::kFloat));
      optimizer->step(0.01);
    }
    return value;
  };
  const auto plain = [&](const auto& update) {
    at::Tensor value = at::linspace(-2, 2, size, at::kFloat).to(at::kDouble);
    at::Tensor a = at::zeros_like(value), b = at::zeros_like(value), c = at::zeros_like(value);
    for (int64_t step = 1; step <= steps; ++step) {
      update(value, made_up_gradient(step, at::linspace(-2, 2, size, at::kFloat)).to(at::kDouble), a, b, c,
             step);
    }
    return value;
  };
  using at::Tensor;
  const Json decay = {{"weight_decay", 0.1}};
  const Json mix = {{"weight_decay", 0.1}, {"alpha", 3}, {"alpha_warmup", 0}, {"beta3_warmup", 0}};
  Json mix_without = mix;
  mix_without["beta1"] = 0;
  const auto ademamix = [&](double beta1) {
    return plain([&](Tensor& x, const Tensor& g, Tensor& a, Tensor& b, Tensor& c, int64_t step) {
      reference::ademamix_step(x, g, a, b, c, step, {0.01, beta1, 0.999, 0.9999, 3, 1e-8, 0.1});
    });
  };
  struct Case {
    const char* name;
    Json json;
    Tensor expected;
  };
  const Case cases[] = {
      {"adamw", decay, plain([](Tensor& x, const Tensor& g, Tensor& a, Tensor& b, Tensor&, int64_t step) {
         reference::adamw_step(x, g, a, b, step, {0.01, 0.9, 0.999, 1e-8, 0.1});
       })},
      {"lion", decay, plain([](Tensor& x, const Tensor& g, Tensor& a, Tensor&, Tensor&, int64_t) {
         reference::lion_step(x, g, a, {0.01, 0.9, 0.99, 0.1});
       })},
      {"ademamix", mix, ademamix(0.9)},
      {"ademamix", mix_without, ademamix(0)}};
  for (const Case& item : cases) {
    CAPTURE(item.name);
    at::set_num_threads(2);
    const Tensor two = run(item.name, item.json);
    at::set_num_threads(1);
    CHECK(at::equal(two, run(item.name, item.json)));
    CHECK((two.to(at::kDouble) - item.expected).abs().max().item<double>() < 3e-6);  // fp32 of values up to 2
  }
  at::set_num_threads(threads);
}

TEST_CASE("a run that is stored and loaded goes on with the same bits") {
  for (const auto& [name, json] : every_state()) {
    for (const int64_t stop : {1, 5}) {
      CAPTURE(name + json.dump());
      CAPTURE(stop);
      auto options = prepared(name, json, 10);
      const auto parameters = [&] {
        RandomStream random(1, "test");
        Named named;
        named.emplace_back("a.weight", normal(random, {20, 16}));
        named.emplace_back("b.weight", normal(random, {8, 24}));
        named.emplace_back("embed.weight", normal(random, {16, 16}));
        named.emplace_back("norm.weight", normal(random, {5}));
        return options->parameters(named);
      };
      const auto run = [&](std::vector<OptimParameter>& all, Optimizer& optimizer, int64_t from, int64_t to) {
        for (int64_t step = from; step < to; ++step) {
          for (OptimParameter& p : all) {
            // The second one is not trained in the first steps: it has no state when the run stops.
            if (p.name == "b.weight" && step < 6) continue;
            p.value.mutable_grad() = made_up_gradient(step, p.value);
          }
          optimizer.step(0.01);
        }
      };
      auto straight = parameters(), stopped = parameters();
      auto whole = options->make(straight);
      run(straight, *whole, 0, 10);
      auto first = options->make(stopped);
      run(stopped, *first, 0, stop);
      std::map<std::string, at::Tensor> saved;
      for (const auto& [key, tensor] : first->state()) saved[key] = tensor.clone();
      CHECK(saved.count("b.weight/step") == 0);
      for (OptimParameter& p : stopped) p.value.mutable_grad().reset();
      auto second = options->make(stopped);
      second->load_state(saved);
      run(stopped, *second, stop, 10);
      for (size_t i = 0; i < straight.size(); ++i) {
        CHECK(at::equal(straight[i].value, stopped[i].value));
        CHECK_FALSE(at::equal(straight[i].value, parameters()[i].value));
      }
      int64_t bytes = 0;
      for (const auto& [key, tensor] : whole->state()) {
        CHECK(at::equal(tensor, second->state().at(key)));
        bytes += static_cast<int64_t>(tensor.nbytes());
      }
      CHECK(whole->state_bytes() == bytes);
      CHECK(whole->state().at("b.weight/step").item<int64_t>() == 4);
    }
  }
}

TEST_CASE("lion's iterates enter the ball of the dual norm of radius 1 / decay and stay") {
  const double decay = 0.5, lr = 0.05;
  struct Case {
    Json json;
    double (*dual)(const at::Tensor&);
  };
  const Case cases[] = {
      {{{"weight_decay", decay}}, [](const at::Tensor& x) { return x.abs().max().item<double>(); }},
      {{{"weight_decay", decay}, {"norm", "lp"}, {"p", 3}},
       [](const at::Tensor& x) { return x.norm(1.5).item<double>(); }},
      {{{"weight_decay", decay}, {"norm", "rows"}, {"p", 2}},
       [](const at::Tensor& x) { return x.norm(2, {1}).max().item<double>(); }}};
  for (const Case& item : cases) {
    CAPTURE(item.json.dump());
    RandomStream random(7, "lion");
    auto options = options_of("lion", item.json);
    const at::Tensor value = normal(random, {6, 9}, 4.0);
    auto optimizer = options->make({{"w", value}});
    CHECK(optimizer->metrics().empty());
    const double begin = item.dual(value);
    REQUIRE(begin > 1 / decay);
    bool inside = false;
    double excess = begin - 1 / decay;
    for (int step = 0; step < 400; ++step) {
      value.mutable_grad() = normal(random, {6, 9});
      optimizer->step(lr);
      excess *= 1 - lr * decay;  // the excess shrinks at least so fast, whatever the gradients are
      const double now = item.dual(value);
      CHECK(now <= 1 / decay + excess + 1e-4);
      if (inside) CHECK(now <= (1 + 1e-6) / decay);
      inside |= now <= 1 / decay;
      const auto metrics = optimizer->metrics();
      CHECK(metrics.at("lion_constraint").value == doctest::Approx(now * decay).epsilon(1e-5));
      CHECK((metrics.at("lion_outside").value > 0) == (now > 1 / decay));
    }
    CHECK(inside);
  }
  // Not decayed, nothing to show.
  auto options = options_of("lion", {{"weight_decay", decay}});
  const at::Tensor value = at::ones({3});
  auto optimizer = options->make(options->parameters({{"norm.weight", value}}));
  value.mutable_grad() = at::ones({3});
  optimizer->step(lr);
  CHECK(optimizer->metrics().empty());
}

TEST_CASE("soap's first step only begins, adafactor's relative step needs no learning rate") {
  auto soap = options_of("soap", Json::object());
  const at::Tensor value = at::eye(3);
  auto optimizer = soap->make({{"w", value}});
  value.mutable_grad() = at::arange(9, at::kFloat).reshape({3, 3});
  optimizer->step(0.1);
  CHECK(at::equal(value, at::eye(3)));
  optimizer->step(0.1);
  CHECK_FALSE(at::equal(value, at::eye(3)));

  const auto first_step = [](const Json& set, double lr) {
    const auto adafactor = options_of("adafactor", set);
    const at::Tensor moved = at::ones({4, 4});
    moved.mutable_grad() = at::ones({4, 4});
    const auto stepper = adafactor->make({{"w", moved}});
    stepper->step(lr);
    return std::pair(moved, stepper->rate(lr));
  };
  for (const auto& [set, lr, rate] : {std::tuple(Json::object(), 0.0, 0.01),
                                      {Json{{"warmup_init", true}}, 0.5, 1e-6},
                                      {Json{{"lr", 0.125}}, 0.125, 0.125},
                                      {Json{{"form", "torch"}}, 0.125, 0.125}}) {
    CAPTURE(set.dump());
    const auto [moved, said] = first_step(set, lr);
    CHECK(said == doctest::Approx(rate));
    CHECK(at::allclose(moved, at::full({4, 4}, 1 - rate), 1e-7));
  }
  CHECK(options_of("adafactor", {{"lr", 0.3}})->lr == 0.3);
  CHECK(options_of("adafactor", {{"form", "torch"}})->lr == 0.01);
}

TEST_CASE("muon brings singular values near 1 and leaves embeddings to adamw") {
  RandomStream random(5, "muon");
  auto options = options_of("muon", {{"momentum", 0}, {"scale", "original"}});
  for (const auto& shape : {std::vector<int64_t>{12, 30}, {30, 12}}) {
    const at::Tensor value = at::zeros(shape);
    value.mutable_grad() = normal(random, shape, 1e-3);
    options->make({{"w", value}})->step(1.0);
    const double scale = shape[0] > shape[1] ? std::sqrt(30.0 / 12.0) : 1.0;
    const at::Tensor singular = at::linalg_svdvals(value) / scale;
    CHECK(singular.max().item<double>() < 1.3);
    CHECK(singular.min().item<double>() > 0.6);
  }
  const at::Tensor value = at::zeros({4, 4});
  auto optimizer = options->make({{"model.embed_tokens.weight", value}});
  value.mutable_grad() = normal(random, {4, 4});
  optimizer->step(1.0);
  CHECK(optimizer->state().count("model.embed_tokens.weight/exp_avg_sq") == 1);
  CHECK(at::allclose(value.abs(), at::ones({4, 4}), 1e-4));
}

TEST_CASE("options that do not go together are refused") {
  for (const auto& [name, json, what] : std::vector<std::tuple<std::string, Json, std::string>>{
           {"lion", {{"norm", "lp"}, {"p", 1}}, "take norm l1"},
           {"ademamix", {{"beta3", 0.5}}, "must not be faster"},
           {"adafactor", {{"warmup_init", true}, {"lr", 0.1}}, "needs relative_step, no lr"},
           {"adafactor", {{"relative_step", false}}, "lr: needed"},
           {"adafactor", {{"form", "torch"}, {"beta1", 0.9}}, "not part of form torch"},
           {"adamw8bit", {{"lookahead", {{"k", 5}, {"momentum", "pull_back"}}}}, "take keep or reset"},
           {"muon", {{"momentum", 1}}, "must be below 1"},
           {"soap", {{"frequency", 0}}, "frequency"}}) {
    CAPTURE(name);
    CHECK_THROWS_WITH_AS(options_of(name, json), doctest::Contains(what.c_str()), UserError);
  }
}

}  // namespace temper

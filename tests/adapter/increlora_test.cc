// IncreLoRA: gradients against the plain formula, growth by score up to the budget, the state of a torn run.
#include "adapter/lora/increlora.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;
using at::Tensor;

namespace {

struct NoRun : TrainingRun {
  StateTensors forget(const std::string&) override { return {}; }
  void add(const std::string& name, const StateTensors&) override { added.insert(name); }
  double loss() override { return 0; }
  std::set<std::string> added;
};

struct Fixture {
  explicit Fixture(IncreLoraOptions options = small()) {
    model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
    adapter = options.attach(*model, 3);
    Packer packer;
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < 24; ++i) ids.push_back((i * 37 + 5) % model->config().vocab);
    packer.add_targets(packer.add_segment(ids), 0, 24, 0);
    tokens = packer.tokens_on(at::kCPU);
    targets = packer.targets_on(at::kCPU, 1);
  }
  static IncreLoraOptions small() {
    IncreLoraOptions o;
    o.targets = Json::array({"q_proj", "v_proj", "down_proj"});
    o.warmup = 2;
    o.interval = 1;
    o.growth_warmup = 4;
    return o;
  }
  Tensor loss() { return -model_logp(*model, tokens, targets).logp.mean(); }
  // One update of plain gradient descent.
  void step(int64_t update, double lr) {
    adapter->begin_update(update, run);
    train(lr);
  }
  void train(double lr) {
    torch::autograd::backward({loss() + adapter->penalty()}, {});
    adapter->end_backward();
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : adapter->trainable()) {
      tensor.sub_(tensor.grad(), lr);
      tensor.mutable_grad() = Tensor();
    }
    adapter->refresh();
  }
  std::map<std::string, Tensor> values() {
    std::map<std::string, Tensor> out;
    for (auto& [name, tensor] : adapter->trainable()) out[name] = tensor;
    return out;
  }
  int64_t rank() {  // of all together
    int64_t n = 0;
    for (auto& [name, tensor] : adapter->trainable()) n += name.find("lora_E") != std::string::npos;
    return n;
  }

  std::unique_ptr<Model> model;
  std::unique_ptr<Adapter> adapter;
  PackedTokens tokens;
  Targets targets;
  NoRun run;
};

}  // namespace

TEST_CASE("increlora: gradients of the components are those of the plain formula") {
  Fixture f;
  f.step(0, 0.5);
  f.step(1, 0.5);
  f.adapter->begin_update(2, f.run);  // grows: two ranks somewhere
  torch::autograd::backward({f.loss()}, {});
  f.adapter->end_backward();
  // The same by finite differences of the loss, along a direction in all of them together.
  at::manual_seed(1);
  double slope = 0;
  std::vector<Tensor> directions;
  for (auto& [name, tensor] : f.values()) {
    REQUIRE(tensor.grad().defined());
    directions.push_back(at::randn_like(tensor));
    slope += (directions.back() * tensor.grad()).sum().item<double>();
  }
  const auto at_distance = [&](double t) {
    const at::NoGradGuard no_grad;
    size_t i = 0;
    for (auto& [name, tensor] : f.values()) Tensor(tensor).detach().add_(directions[i++], t);
    f.adapter->refresh();
    const double out = f.loss().item<double>();
    i = 0;
    for (auto& [name, tensor] : f.values()) Tensor(tensor).detach().sub_(directions[i++], t);
    return out;
  };
  const double h = 2e-3, measured = (at_distance(h) - at_distance(-h)) / (2 * h);
  CHECK(slope == doctest::Approx(measured).epsilon(2e-2));
  CHECK(std::abs(slope) > 1e-3);
}

TEST_CASE("increlora: starts as the base, grows at its updates, up to its budget, without a jump") {
  Fixture f;
  const int64_t modules = 6;
  {
    const at::NoGradGuard no_grad;
    const double with = f.loss().item<double>();
    f.adapter->set_enabled(false);
    CHECK(std::abs(f.loss().item<double>() - with) < 1e-6);
    f.adapter->set_enabled(true);
  }
  CHECK(f.rank() == modules);
  for (int64_t update = 0; update < 8; ++update) {
    CAPTURE(update);
    const double before = f.loss().item<double>();
    f.adapter->begin_update(update, f.run);
    CHECK(f.rank() == std::min(2 * modules, update < 2 ? modules : modules + 2 * (update - 1)));
    CHECK(std::abs(f.loss().item<double>() - before) < 1e-5);  // growth itself changes nothing
    CHECK(f.run.added.size() ==
          static_cast<size_t>(3 * (f.rank() - modules)));  // e, and the next reserve's a and b
    f.train(0.3);
  }
}

TEST_CASE(
    "increlora: those of the highest score grow first; a new component's rate rises; the state goes on") {
  Fixture f;
  f.step(0, 0.5);
  f.step(1, 0.5);
  const AdapterState before = f.adapter->state();
  std::vector<std::pair<double, std::string>> scores;
  std::vector<std::string> paths;
  for (auto& [name, tensor] : f.adapter->trainable()) {
    if (name.ends_with("lora_E.0")) paths.push_back(name.substr(0, name.size() - 8));
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    const Json& m = before.json["modules"][i];
    scores.emplace_back(-m["importance"].get<double>() * m["uncertainty"].get<double>(), paths[i]);
  }
  std::stable_sort(scores.begin(), scores.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  f.adapter->begin_update(2, f.run);
  for (size_t i = 0; i < scores.size(); ++i)
    CHECK(f.run.added.count(scores[i].second + "lora_E.1") == (i < 2 ? 1 : 0));
  const std::string fresh = scores[0].second + "lora_E.1";
  CHECK(f.adapter->lr_factor(fresh) == doctest::Approx(0.25));
  CHECK(f.adapter->lr_factor(scores[0].second + "lora_E.0") == 1.0);

  // Restored, it is the same set with the same scores.
  const AdapterState state = f.adapter->state();
  Fixture other;
  other.adapter->load_state(state, 2, "here");
  CHECK(other.adapter->state().json == state.json);
  CHECK(other.values().size() == f.values().size());
  CHECK_THROWS_AS(other.adapter->load_state({Json::object(), {}}, 2, "here"), UserError);

  // The folder is a plain LoRA of what was trained, but for the reserves.
  TempFolder folder;
  f.adapter->save(folder.path().string(), at::kFloat);
  const at::NoGradGuard no_grad;
  const double own = f.loss().item<double>();
  const auto model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
  const auto loaded = load_adapter(*model, folder.path().string());
  CHECK(std::abs(-model_logp(*model, f.tokens, f.targets).logp.mean().item<double>() - own) < 1e-5);
}

// Which blocks train: freeze, LISA's intervals and IST's importance, against the definition.
#include "adapter/layers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

#include <cmath>
#include <functional>
#include <set>

#include "adapter/ist.h"
#include "adapter/lisa.h"
#include "base/error.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;
using at::Tensor;

namespace {

constexpr int64_t kLayers = 6;

std::unique_ptr<Model> tiny(at::ScalarType compute = at::kFloat, bool tied = false) {
  ModelConfig c;
  c.family = "llama";
  c.vocab = 50;
  c.hidden = 16;
  c.intermediate = 24;
  c.layers = kLayers;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 8;
  c.tied = tied;
  return Model::initialise(c, Precision{compute, at::kCPU}, 3);
}

std::unique_ptr<Adapter> attach(Model& model, const std::string& kind, const Json& json, uint64_t seed = 1) {
  auto options = adapter_registry().find(kind)->make();
  read_fields(*options, json, "adapter", ".");
  return options->attach(model, seed);
}

std::set<std::string> name_set(const std::vector<std::pair<std::string, Tensor>>& named) {
  std::set<std::string> out;
  for (const auto& [name, tensor] : named) out.insert(name);
  return out;
}

// An optimizer that only counts: the state of a parameter is the number of updates since it joined.
struct Counter : TrainingRun {
  explicit Counter(Adapter& adapter) : adapter(adapter) {
    for (const auto& name : name_set(adapter.active())) steps[name] = 0;
  }
  StateTensors forget(const std::string& name) override {
    REQUIRE(steps.count(name));
    const int64_t had = steps.at(name);
    steps.erase(name);
    if (had == 0) return {};
    return {{"step", at::scalar_tensor(had, at::kLong)}};
  }
  void add(const std::string& name, const StateTensors& state) override {
    REQUIRE(!steps.count(name));
    steps[name] = state.count("step") ? state.at("step").item<int64_t>() : 0;
  }
  double loss() override { return on_loss(); }
  void update(int64_t t) {
    adapter.begin_update(t, *this);
    CHECK(name_set(adapter.active()) == known());
    for (auto& [name, count] : steps) ++count;
  }
  std::set<std::string> known() const {
    std::set<std::string> out;
    for (const auto& [name, count] : steps) out.insert(name);
    return out;
  }
  Adapter& adapter;
  std::map<std::string, int64_t> steps;
  std::function<double()> on_loss;
};

const std::vector<int64_t> kIds = {5, 9, 2, 17, 33, 8, 41, 3};

Tensor mean_loss(Model& model, const ForwardOptions& options = {}) {
  Packer packer;
  packer.add_targets(packer.add_segment(kIds), 0, static_cast<int64_t>(kIds.size()), 0);
  return -model_logp(model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1), {}, options)
              .logp.mean();
}

// Nodes of the graph behind a loss, by a part of their name.
std::map<std::string, int64_t> graph_of(const Tensor& loss) {
  std::map<std::string, int64_t> out;
  std::set<torch::autograd::Node*> seen;
  std::vector<torch::autograd::Node*> open = {loss.grad_fn().get()};
  while (!open.empty()) {
    torch::autograd::Node* node = open.back();
    open.pop_back();
    if (node == nullptr || !seen.insert(node).second) continue;
    for (const char* kind : {"Linear", "Embedding", "Recompute", "RmsNorm"}) {
      if (node->name().find(kind) != std::string::npos) ++out[kind];
    }
    for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
  }
  return out;
}

std::set<std::string> with_gradient(Model& model) {
  std::set<std::string> out;
  for (const Parameter* p : model.parameters()) {
    if (p->master.grad().defined()) out.insert(p->name);
  }
  return out;
}

}  // namespace

TEST_CASE("a layer's number, and draws without replacement in proportion to weights") {
  CHECK(layer_of("model.layers.12.mlp.up_proj.weight") == 12);
  CHECK(layer_of("base_model.model.model.layers.3.mlp.up_proj.lora_A.weight") == 3);
  CHECK(layer_of("model.embed_tokens.weight") == -1);

  // Two of three with weights 1, 2, 5: by hand, place 2 is left out with chance 1/8 2/7 + 2/8 1/6.
  std::map<std::vector<int64_t>, int> counts;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    RandomStream random(1, "test", static_cast<uint64_t>(i));
    ++counts[draw_layers(random, {1, 2, 5}, 2)];
  }
  const auto near = [&](const std::vector<int64_t>& set, double chance) {
    CHECK(std::abs(counts[set] / static_cast<double>(kDraws) - chance) < 0.015);
  };
  near({0, 1}, 1.0 / 8 * 2 / 7 + 2.0 / 8 * 1 / 6);
  near({0, 2}, 1.0 / 8 * 5 / 7 + 5.0 / 8 * 1 / 3);
  near({1, 2}, 2.0 / 8 * 5 / 6 + 5.0 / 8 * 2 / 3);
  RandomStream random(1, "test");
  for (int i = 0; i < 100; ++i) CHECK(draw_layers(random, {0, 1, 0, 1}, 2) == std::vector<int64_t>{1, 3});
  CHECK_THROWS_AS(draw_layers(random, {0, 1}, 2), std::logic_error);
}

TEST_CASE("freeze trains the last blocks, or names, and nothing is recorded below them") {
  const auto model = tiny();
  const auto adapter = attach(*model, "freeze", {{"blocks", 2}});
  std::set<std::string> expected;
  for (const Parameter* p : model->parameters()) {
    if (layer_of(p->name) >= kLayers - 2) expected.insert(p->name);
  }
  CHECK(name_set(adapter->trainable()) == expected);
  const Tensor loss = mean_loss(*model);
  CHECK(graph_of(loss)["Linear"] == 2 * 4);
  torch::autograd::backward({loss}, {});
  CHECK(with_gradient(*model) == expected);

  const auto other = tiny();
  const auto by_name = attach(*other, "freeze", {{"names", ".*layers\\.[13]\\..*norm.*|lm_head.*"}});
  CHECK(name_set(by_name->trainable()) ==
        std::set<std::string>{"lm_head.weight", "model.layers.1.input_layernorm.weight",
                              "model.layers.1.post_attention_layernorm.weight",
                              "model.layers.3.input_layernorm.weight",
                              "model.layers.3.post_attention_layernorm.weight"});
  CHECK_THROWS_WITH_AS(attach(*other, "freeze", {{"names", "nothing"}}),
                       doctest::Contains("no parameter is called \"nothing\""), UserError);
  CHECK_THROWS_WITH_AS(attach(*other, "freeze", {{"blocks", 7}}), doctest::Contains("at most 6, found 7"),
                       UserError);
  CHECK_THROWS_WITH_AS(attach(*other, "freeze", Json::object()), doctest::Contains("nothing trains"),
                       UserError);
}

TEST_CASE("lisa: the draw is uniform over the blocks, or by weights, and each set lives a whole interval") {
  const auto model = tiny();
  const auto adapter = attach(*model, "lisa", {{"blocks", 2}, {"every", 5}});
  auto& lisa = dynamic_cast<LisaAdapter&>(*adapter);
  Counter run(lisa);
  std::vector<int> counts(kLayers, 0);
  constexpr int kIntervals = 1500;
  std::vector<int64_t> blocks = lisa.blocks();  // the first set is there before the first update
  for (int64_t t = 0; t < kIntervals * 5; ++t) {
    run.update(t);
    if (t % 5 == 0) {
      if (t == 0) CHECK(lisa.blocks() == blocks);
      blocks = lisa.blocks();
      REQUIRE(blocks.size() == 2);
      CHECK(blocks[0] < blocks[1]);
      for (const int64_t block : blocks) ++counts[static_cast<size_t>(block)];
    }
    CHECK(lisa.blocks() == blocks);
  }
  // 4.5 standard deviations of a binomial with chance 1/3.
  for (const int n : counts) CHECK(std::abs(n - kIntervals / 3.0) < 4.5 * std::sqrt(kIntervals * 2.0 / 9));

  const auto other = tiny();
  const auto weighted =
      attach(*other, "lisa", {{"blocks", 1}, {"every", 1}, {"weights", {0.0, 0.0, 1.0, 0.0, 3.0, 0.0}}});
  Counter weighted_run(*weighted);
  int fourth = 0;
  for (int64_t t = 0; t < 800; ++t) {
    weighted_run.update(t);
    const int64_t block = dynamic_cast<LisaAdapter&>(*weighted).blocks().front();
    CHECK((block == 2 || block == 4));
    fourth += block == 4 ? 1 : 0;
  }
  CHECK(std::abs(fourth / 800.0 - 0.75) < 0.07);
}

TEST_CASE(
    "lisa: gradients of the active parameters alone, and no graph below them when the embedding is frozen") {
  for (const char* checkpointing : {"off", "all"}) {
    CAPTURE(checkpointing);
    ForwardOptions options;
    options.checkpoint_every = std::string(checkpointing) == "all" ? 1 : 0;
    for (const bool embedding : {false, true}) {
      CAPTURE(embedding);
      const auto model = tiny();
      const auto adapter = attach(*model, "lisa", {{"blocks", 2}, {"every", 1}, {"embedding", embedding}});
      auto& lisa = dynamic_cast<LisaAdapter&>(*adapter);
      Counter run(lisa);
      std::set<int64_t> lowest;
      for (int64_t t = 0; t < 12; ++t) {
        run.update(t);
        const int64_t first = lisa.blocks().front(), recorded = embedding ? kLayers : kLayers - first;
        lowest.insert(first);
        const Tensor loss = mean_loss(*model, options);
        auto graph = graph_of(loss);
        CHECK(graph["Embedding"] == (embedding ? 1 : 0));
        if (options.checkpoint_every == 0)
          CHECK(graph["Linear"] == 4 * recorded);
        else
          CHECK(graph["Recompute"] == recorded);
        torch::autograd::backward({loss}, {});
        CHECK(with_gradient(*model) == name_set(lisa.active()));
        CHECK(name_set(lisa.active()).count("model.embed_tokens.weight") == (embedding ? 1 : 0));
        for (Parameter* p : model->parameters()) p->master.mutable_grad() = Tensor();
      }
      CHECK(lowest.size() > 2);
    }
  }
}

TEST_CASE("lisa: gradients of the active blocks equal those of full training, recomputed or not") {
  const auto full = tiny(), model = tiny();
  const auto everything = attach(*full, "full", Json::object());
  torch::autograd::backward({mean_loss(*full)}, {});
  const auto adapter = attach(*model, "lisa", {{"blocks", 2}, {"embedding", false}});
  for (const int64_t every : {0, 1, 2}) {
    ForwardOptions options;
    options.checkpoint_every = every;
    torch::autograd::backward({mean_loss(*model, options)}, {});
    for (const auto& [name, tensor] : adapter->active()) {
      CAPTURE(name);
      CHECK(at::allclose(tensor.grad(), full->find(name)->master.grad(), 1e-5, 1e-7));
      at::Tensor(tensor).mutable_grad() = Tensor();
    }
  }
}

TEST_CASE("lisa: state and masters are dropped, kept or offloaded, and frozen blocks hold neither") {
  for (const at::ScalarType compute : {at::kFloat, at::kBFloat16}) {
    for (const std::string policy : {"drop", "keep", "offload"}) {
      CAPTURE(policy);
      CAPTURE(compute == at::kFloat);
      const TempFolder folder;
      const auto model = tiny(compute);
      {
        const auto adapter = attach(*model, "lisa", {{"blocks", 2}, {"every", 3}, {"state", policy}});
        auto& lisa = dynamic_cast<LisaAdapter&>(*adapter);
        lisa.set_work_folder(folder.text());
        Counter run(lisa);
        std::map<std::string, int64_t> trained;        // updates of each parameter in the whole run
        std::map<std::string, int64_t> since;          // the update at which it joined last
        std::map<std::string, Tensor> exact, rounded;  // values after the last update
        int returns = 0;
        for (int64_t t = 0; t < 60; ++t) {
          const auto before = run.known();
          run.update(t);
          const auto now = run.known();
          for (const std::string& name : now) {
            const Parameter* p = model->find(name);
            REQUIRE((p->master.scalar_type() == at::kFloat));
            REQUIRE(p->master.requires_grad());
            if (!before.count(name)) {
              since[name] = t;
              if (exact.count(name)) {
                ++returns;
                const bool kept = policy != "drop" || compute == at::kFloat;
                CHECK(at::equal(p->master.detach(), kept ? exact[name] : rounded[name]));
              }
            }
            // Bias correction: anew under drop, else on from where it was.
            const int64_t begun = policy == "drop" ? t - since[name] + 1 : trained[name] + 1;
            CHECK(run.steps.at(name) == begun);
            ++trained[name];
            p->master.detach().add_(1e-4 * static_cast<double>(t % 7));
          }
          lisa.refresh();
          for (const Parameter* p : model->parameters()) {
            if (now.count(p->name)) {
              exact[p->name] = p->master.detach().clone();
              rounded[p->name] = exact[p->name].to(compute).to(at::kFloat);
            } else {
              CHECK(!p->master.requires_grad());
              CHECK(p->master.is_same(p->compute));  // no memory beside the working weights
            }
          }
          if (policy == "drop") CHECK(lisa.state().tensors.empty());
        }
        CHECK(returns > 50);
        if (policy == "offload") CHECK(!std::filesystem::is_empty(folder / "parked"));
        if (policy == "keep") CHECK(!std::filesystem::exists(folder / "parked"));
        if (policy != "drop") CHECK(!lisa.state().tensors.empty());
      }
      CHECK(!std::filesystem::exists(folder / "parked"));
    }
  }
}

TEST_CASE("lisa: a state goes on in the middle of an interval, and another run's is refused") {
  for (const std::string policy : {"drop", "keep", "offload"}) {
    const TempFolder folder, other;
    const Json json = {{"blocks", 2}, {"every", 4}, {"state", policy}};
    const auto model = tiny(at::kBFloat16), again = tiny(at::kBFloat16);
    const auto first = attach(*model, "lisa", json), second = attach(*again, "lisa", json);
    auto& a = dynamic_cast<LisaAdapter&>(*first);
    auto& b = dynamic_cast<LisaAdapter&>(*second);
    a.set_work_folder(folder.text());
    b.set_work_folder(other.text());
    Counter run(a);
    for (int64_t t = 0; t < 10; ++t) run.update(t);
    AdapterState state = a.state();
    CHECK(state.json["interval"] == 2);
    CHECK(state.json["position"] == 2);
    b.load_state(state, 10, "x");
    CHECK(a.blocks() == b.blocks());
    CHECK(name_set(a.active()) == name_set(b.active()));
    CHECK(name_set(a.trainable()) == name_set(b.trainable()));
    const auto parked = b.state().tensors;
    REQUIRE(parked.size() == state.tensors.size());
    for (const auto& [name, tensor] : state.tensors) CHECK(at::equal(tensor, parked.at(name)));
    Counter resumed(b);
    resumed.steps = run.steps;
    for (int64_t t = 10; t < 30; ++t) {
      run.update(t);
      resumed.update(t);
      CHECK(a.blocks() == b.blocks());
      CHECK(run.steps == resumed.steps);
    }
    CHECK_THROWS_WITH_AS(b.load_state(state, 11, "x"), doctest::Contains("x: lisa: interval 2, update 2"),
                         UserError);
    state.json["blocks"] = {0, 0};
    CHECK_THROWS_WITH_AS(b.load_state(state, 10, "x"), doctest::Contains("blocks [0,0]"), UserError);
    CHECK_THROWS_WITH_AS(b.load_state({}, 10, "x"), doctest::Contains("not a state of lisa"), UserError);
  }
}

TEST_CASE("lisa: bad options") {
  const auto model = tiny(), tied = tiny(at::kFloat, true);
  CHECK_THROWS_WITH_AS(attach(*model, "lisa", {{"blocks", 7}}), doctest::Contains("at most 6"), UserError);
  CHECK_THROWS_WITH_AS(attach(*model, "lisa", {{"weights", {1, 2}}}),
                       doctest::Contains("each of the 6 blocks"), UserError);
  CHECK_THROWS_WITH_AS(attach(*model, "lisa", {{"weights", {0, 0, 0, 0, 0, 1}}}),
                       doctest::Contains("at least 2 of them above 0"), UserError);
  CHECK_THROWS_WITH_AS(attach(*tied, "lisa", {{"head", false}}), doctest::Contains("one weight"), UserError);
  const auto both_off = attach(*tied, "lisa", {{"head", false}, {"embedding", false}, {"norm", false}});
  for (const auto& name : name_set(both_off->trainable())) CHECK(layer_of(name) >= 0);
}

TEST_CASE("ist: a quarter of the blocks trains, drawn anew each update, and scores follow the formula") {
  const auto model = tiny();
  const auto adapter = attach(*model, "ist", {{"rank", 2}, {"train_share", 0.5}, {"measure_every", 4}});
  auto& ist = dynamic_cast<IstAdapter&>(*adapter);
  {
    const at::NoGradGuard guard;  // updates that are not zero
    for (const auto& [name, tensor] : ist.trainable()) at::Tensor(tensor).normal_(0, 0.3);
    ist.refresh();
  }
  Counter run(ist);
  const double whole = mean_loss(*model).item<double>();
  std::vector<double> losses;
  run.on_loss = [&] {
    const at::NoGradGuard guard;
    losses.push_back(mean_loss(*model).item<double>());
    CHECK(losses.back() != whole);
    return losses.back();
  };
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  std::set<std::vector<int64_t>> sets;
  for (int64_t t = 0; t < 24; ++t) {
    losses.clear();
    const auto before = ist.importance();
    run.update(t);
    CHECK(mean_loss(*model).item<double>() == whole);  // nothing stays suppressed
    CHECK(losses.size() == (t > 0 && t % 4 == 0 ? 3 : 0));
    if (losses.empty()) {
      CHECK(ist.importance() == before);
    } else {
      // The sets again, as the definition has them, and the plain formula.
      std::vector<double> p, expected = before;
      for (const double score : before) p.push_back(sigmoid(score));
      RandomStream random(1, "ist.suppress", static_cast<uint64_t>(t));
      std::vector<std::vector<int64_t>> subsets;
      while (subsets.size() < 3) {
        const auto set = draw_layers(random, p, 3);
        if (std::find(subsets.begin(), subsets.end(), set) == subsets.end()) subsets.push_back(set);
      }
      const double mean = (std::exp(-losses[0]) + std::exp(-losses[1]) + std::exp(-losses[2])) / 3;
      for (size_t k = 0; k < 3; ++k) {
        for (const int64_t i : subsets[k])
          expected[i] += 10 * (std::exp(-losses[k]) - mean) * p[i] * (1 - p[i]);
        // The loss under suppression, with the set's B scaled by hand.
        const at::NoGradGuard guard;
        std::vector<std::pair<Tensor, Tensor>> kept;
        for (const auto& [name, tensor] : ist.trainable()) {
          if (name.find("lora_B") == std::string::npos ||
              std::find(subsets[k].begin(), subsets[k].end(), layer_of(name)) == subsets[k].end())
            continue;
          kept.emplace_back(tensor, tensor.clone());
          at::Tensor(tensor).mul_(0.25);
        }
        ist.refresh();
        CHECK(mean_loss(*model).item<double>() == doctest::Approx(losses[k]).epsilon(1e-6));
        for (auto& [tensor, value] : kept) tensor.copy_(value);
        ist.refresh();
      }
      for (size_t i = 0; i < expected.size(); ++i)
        CHECK(ist.importance()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
      CHECK(ist.importance() != before);
    }
    const auto training = ist.training();
    CHECK(training.size() == 3);
    sets.insert(training);
    const Tensor loss = mean_loss(*model);
    torch::autograd::backward({loss}, {});
    for (const auto& [name, tensor] : ist.trainable()) {
      const bool trains = std::find(training.begin(), training.end(), layer_of(name)) != training.end();
      CHECK(tensor.grad().defined() == trains);
      at::Tensor(tensor).mutable_grad() = Tensor();
    }
    CHECK(run.steps.size() == ist.trainable().size());  // optimizer states stay
  }
  CHECK(sets.size() > 5);
}

TEST_CASE("ist: high scores are drawn for suppression, low ones to train; states go on; a lora is saved") {
  const auto model = tiny(), again = tiny();
  const Json json = {{"rank", 2}, {"train_share", 0.17}};
  const auto adapter = attach(*model, "ist", json), second = attach(*again, "ist", json);
  auto& ist = dynamic_cast<IstAdapter&>(*adapter);
  auto& other = dynamic_cast<IstAdapter&>(*second);
  // Block 2 is not missed, block 4 is.
  AdapterState state = ist.state();
  state.json["importance"] = {0.0, 0.0, 6.0, 0.0, -6.0, 0.0};
  ist.load_state(state, 0, "x");
  Counter run(ist);
  run.on_loss = [] { return 1.0; };
  std::vector<int> counts(kLayers, 0);
  for (int64_t t = 0; t < 2000; ++t) {
    run.update(t);
    ++counts[static_cast<size_t>(ist.training().front())];
  }
  // sigmoid(-I): 1/2 four times, 0.0025, 0.9975.
  CHECK(std::abs(counts[4] / 2000.0 - 0.9975 / 3.0) < 0.05);
  CHECK(counts[2] < 10);
  CHECK(std::abs(counts[0] / 2000.0 - 0.5 / 3.0) < 0.04);
  CHECK(ist.importance()[2] == 6.0);  // equal rewards change nothing

  other.load_state(ist.state(), 2000, "x");
  CHECK(other.importance() == ist.importance());
  CHECK(other.training() == ist.training());
  Counter resumed(other);
  resumed.on_loss = run.on_loss;
  for (int64_t t = 2000; t < 2020; ++t) {
    run.update(t);
    resumed.update(t);
    CHECK(other.training() == ist.training());
  }
  state = ist.state();
  state.json["training"] = {0, 1};
  CHECK_THROWS_WITH_AS(other.load_state(state, 2020, "x"), doctest::Contains("blocks [0,1]"), UserError);
  CHECK_THROWS_WITH_AS(other.load_state({}, 2020, "x"), doctest::Contains("not a state of ist"), UserError);

  const TempFolder folder;
  const auto base = tiny();
  ist.save(folder.text(), at::kFloat);
  const auto loaded = load_adapter(*base, folder.text());
  const at::NoGradGuard guard;
  CHECK(mean_loss(*base).item<double>() == mean_loss(*model).item<double>());
}

// Score heads: against transformers (scripts/oracles/reward_models.py), fresh, saved, and beside a causal
// head.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "base/error.h"
#include "base/json.h"
#include "model/load.h"
#include "model/model.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;
using at::Tensor;

namespace {

// Scores of whole sequences, [S, A].
Tensor scores_of(Model& model, const std::vector<std::vector<int64_t>>& sequences) {
  Packer packer;
  std::vector<int64_t> rows;
  int64_t begin = 0;
  for (const auto& ids : sequences) {
    packer.add_segment(ids);
    rows.push_back(begin + score_position({}, ids, model.config().pad_id));
    begin += static_cast<int64_t>(ids.size());
  }
  return model_scores(model, model.hidden(packer.tokens_on(at::kCPU)), at::tensor(rows, at::kLong));
}

struct Golden {
  std::vector<std::vector<int64_t>> ids;
  Tensor scores;
};
Golden scores_golden() {
  Golden out;
  std::vector<double> all;
  const Json file = read_json_file(test_file("model/golden/scores/golden.json"));
  for (const Json& s : file["sequences"]) {
    out.ids.push_back(s["ids"].get<std::vector<int64_t>>());
    for (const Json& x : s["scores"]) all.push_back(x.get<double>());
  }
  out.scores = at::tensor(all, at::kFloat).view({static_cast<int64_t>(out.ids.size()), -1});
  return out;
}

double distance(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

std::string scores_refusal(const std::string& folder, const Heads& heads) {
  try {
    Model::load(folder, Precision{}, heads);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

Heads scored(int64_t scores, uint64_t seed = 0) {
  Heads heads;
  heads.causal = false;
  heads.scores = scores;
  heads.seed = seed;
  return heads;
}

}  // namespace

TEST_CASE("scores: a sequence-classification folder's equal transformers', sequences packed together") {
  const at::NoGradGuard no_grad;
  const auto model = Model::load(test_file("model/golden/scores"), Precision{}, scored(0));
  CHECK(model->config().score_names == std::vector<std::string>{"helpfulness", "correctness", "verbosity"});
  CHECK(model->parameters().back()->name == "score.weight");
  const Golden g = scores_golden();
  CHECK(distance(scores_of(*model, g.ids), g.scores) < 2e-5);
}

TEST_CASE("scores: they are read at the last token that is not a pad") {
  CHECK(score_position({5, 6}, {7, 0}, std::nullopt) == 3);
  CHECK(score_position({5, 6}, {7, 0}, 0) == 2);
  CHECK(score_position({5, 6}, {0, 0}, 0) == 1);
  CHECK(score_position({0}, {0}, 0) == 0);
  CHECK(score_position({}, {}, 0) == 0);
}

TEST_CASE("scores: a folder that was saved scores the same and names its labels") {
  const at::NoGradGuard no_grad;
  const TempFolder folder;
  const auto model = Model::load(test_file("model/golden/scores"), Precision{}, scored(3));
  model->save(folder.text(), at::kFloat);
  const Json config = read_json_file(folder.text("config.json"));
  CHECK(config["architectures"][0] == "Qwen3ForSequenceClassification");
  CHECK(config["id2label"]["2"] == "verbosity");
  CHECK(config["label2id"]["correctness"] == 1);
  CHECK(config["pad_token_id"] == 0);
  const auto again = Model::load(folder.text(), Precision{}, scored(0));
  const Golden g = scores_golden();
  CHECK(distance(scores_of(*again, g.ids), g.scores) < 2e-5);
}

TEST_CASE("scores: a fresh head on every family, of the seed alone, and without the language-model head") {
  const at::NoGradGuard no_grad;
  for (const std::string name : {"llama3", "llama_linear", "smollm", "mistral", "qwen2", "qwen3"}) {
    CAPTURE(name);
    const std::string folder = test_file("model/golden/" + name);
    const auto a = Model::load(folder, Precision{}, scored(5, 1));
    const auto b = Model::load(folder, Precision{at::kBFloat16, at::kCPU}, scored(5, 1));
    const auto c = Model::load(folder, Precision{}, scored(5, 2));
    CHECK(a->find("lm_head.weight") == nullptr);
    CHECK_THROWS_AS(a->head(), std::logic_error);
    CHECK(a->score_head().master.std().item<double>() == doctest::Approx(0.02).epsilon(0.25));
    CHECK(distance(a->score_head().master, c->score_head().master) > 0.01);
    // Masters are of full precision whatever the model computes in.
    b->set_trainable([](const std::string& parameter) { return parameter == "score.weight"; });
    CHECK(a->score_head().master.equal(b->score_head().master));
    CHECK(scores_of(*a, {{3, 4, 5}, {6}}).sizes() == at::IntArrayRef({2, 5}));
  }
}

TEST_CASE(
    "scores: a value head beside the language-model head reads the same hidden states and is not saved") {
  const std::string folder = test_file("model/golden/smollm");
  const auto plain = Model::load(folder, Precision{});
  Heads heads;
  heads.scores = 1;
  const auto model = Model::load(folder, Precision{}, heads);
  model->set_trainable([](const std::string&) { return true; });
  Packer packer;
  packer.add_targets(packer.add_segment({3, 4, 5, 6, 7}), 0, 5, 0);
  const PackedTokens tokens = packer.tokens_on(at::kCPU);
  const Targets targets = packer.targets_on(at::kCPU, 1);
  const Tensor hidden = model->hidden(tokens);
  const Tensor logp =
      selective_logp(hidden, model->head().compute, model->head().master, targets, LogpOptions{}).logp;
  // Not the same bits: what needs no gradient may multiply in another order, on some processors.
  CHECK(distance(logp.detach(), model_logp(*plain, tokens, targets).logp.detach()) < 1e-5);
  const Tensor values = model_scores(*model, hidden, targets.source);
  CHECK(values.sizes() == at::IntArrayRef({4, 1}));
  torch::autograd::backward({values.sum() + logp.sum()}, {});
  // d sum / d head is the sum of the hidden states read.
  CHECK(distance(model->score_head().master.grad()[0],
                 hidden.detach().index_select(0, targets.source).sum(0)) < 1e-5);
  CHECK(model->find("model.layers.0.mlp.up_proj.weight")->master.grad().abs().sum().item<double>() > 0);

  const TempFolder saved;
  model->save(saved.text(), at::kFloat);
  CHECK(read_json_file(saved.text("config.json"))["architectures"][0] == "LlamaForCausalLM");
  const auto report = inspect_weights(saved.text(), parameter_shapes(plain->config()));
  CHECK(report.complete());
  CHECK(report.unexpected.empty());
}

TEST_CASE("scores: a wanted head that is not there is one clear line") {
  const auto has = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    return text.find(part) != std::string::npos;
  };
  const std::string causal = test_file("model/golden/qwen3"), classifier = test_file("model/golden/scores");
  CHECK(has(scores_refusal(classifier, {}), "no language-model head"));
  CHECK(has(scores_refusal(causal, scored(0)), "expected a model with a score head"));
  CHECK(has(scores_refusal(classifier, scored(1)), "has 3 scores, 1 are wanted"));
}

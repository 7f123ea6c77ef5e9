// Adapters of score heads: PEFT's task_type SEQ_CLS (scripts/oracles/reward_models.py).
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "adapter/adapter.h"
#include "adapter/lora/lora.h"
#include "adapter/merge.h"
#include "base/json.h"
#include "temp_folder.h"
#include "tensor/safetensors.h"
#include "test.h"

using namespace temper;
using at::Tensor;

namespace {

const std::string kBase = "model/golden/llama3", kAdapter = "adapter/golden/seq_cls";

Tensor scores_of(Model& model, const Json& sequences, int64_t pad) {
  const at::NoGradGuard no_grad;
  Packer packer;
  std::vector<int64_t> rows;
  int64_t begin = 0;
  for (const Json& s : sequences) {
    const auto ids = s["ids"].get<std::vector<int64_t>>();
    packer.add_segment(ids);
    rows.push_back(begin + score_position({}, ids, pad));
    begin += static_cast<int64_t>(ids.size());
  }
  return model_scores(model, model.hidden(packer.tokens_on(at::kCPU)), at::tensor(rows, at::kLong));
}

double worst(const Tensor& scores, const Json& sequences) {
  double out = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const double expected = sequences[i]["scores"][0].get<double>();
    out = std::max(out, std::abs(scores[static_cast<int64_t>(i)][0].item<double>() - expected));
  }
  return out;
}

}  // namespace

TEST_CASE("score adapter: PEFT's folder scores as in PEFT; written again, it is the same; merged, too") {
  const Json sequences = read_json_file(test_file(kAdapter + "/golden.json"))["sequences"];
  const Heads heads = adapter_heads(test_file(kAdapter));
  CHECK_FALSE(heads.causal);
  CHECK(heads.scores == 1);
  const auto model = Model::load(test_file(kBase), Precision{}, heads);
  const auto adapter = load_adapter(*model, test_file(kAdapter));
  CHECK(worst(scores_of(*model, sequences, 0), sequences) < 2e-5);

  const TempFolder folder;
  adapter->save(folder.text("again"), at::kFloat);
  const Json config = read_json_file(folder.text("again/adapter_config.json"));
  CHECK(config["task_type"] == "SEQ_CLS");
  CHECK(config["modules_to_save"] == Json::array({"score"}));
  const SafetensorsFile before(test_file(kAdapter + "/adapter_model.safetensors")),
      after(folder.text("again/adapter_model.safetensors"));
  REQUIRE(after.tensors().size() == before.tensors().size());
  for (const TensorInfo& info : before.tensors())
    CHECK(before.tensor(info).equal(after.tensor(*after.find(info.name))));

  CHECK(merge_folder(test_file(kBase), test_file(kAdapter), folder.text("merged"), at::kFloat) < 1e-4);
  Heads stored;
  stored.causal = false;
  const auto merged = Model::load(folder.text("merged"), Precision{}, stored);
  CHECK(worst(scores_of(*merged, sequences, 0), sequences) < 2e-5);
}

TEST_CASE("score adapter: a critic's head trains beside a policy's adapter and stays out of its folder") {
  Heads heads;
  heads.scores = 1;
  const auto model = Model::load(test_file(kBase), Precision{}, heads);
  LoraOptions options;
  options.modules_to_save = {"score"};
  const auto adapter = options.attach(*model, 1);
  CHECK(adapter->trainable().back().first == "score.weight");
  const TempFolder folder;
  adapter->save(folder.text(), at::kFloat);
  const Json config = read_json_file(folder.text("adapter_config.json"));
  CHECK(config["task_type"] == "CAUSAL_LM");
  CHECK(config["modules_to_save"].is_null());
  CHECK(adapter_heads(folder.text()).causal);
  const auto plain = Model::load(test_file(kBase), Precision{});
  CHECK_NOTHROW(load_adapter(*plain, folder.text()));
}

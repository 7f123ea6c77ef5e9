#include "model/load.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/golden_models.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

NamedTensors read_all(const std::string& folder, const ModelConfig& config) {
  NamedTensors out;
  read_weights(folder, parameter_shapes(config),
               [&](const std::string& name, const at::Tensor& t) { out.emplace_back(name, t.clone()); });
  return out;
}

std::string load_refusal(const std::string& folder, const NamedShapes& wanted) {
  int filled = 0;
  try {
    read_weights(folder, wanted, [&](const std::string&, const at::Tensor&) { ++filled; });
  } catch (const UserError& e) {
    CHECK(filled == 0);
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("load: every family's folder is complete, by our names and shapes") {
  for (const std::string& name : kNames) {
    CAPTURE(name);
    const ModelConfig config = read_model_config(golden(name));
    const WeightReport report = inspect_weights(golden(name), parameter_shapes(config));
    CHECK(report.complete());
    CHECK(report.unexpected.empty());
    CHECK(report.parameters == config.parameter_count());
    CHECK(read_all(golden(name), config).size() == parameter_shapes(config).size());
  }
}

TEST_CASE("load: a saved folder reads back equal, and its configs say the same") {
  for (const std::string& name : kNames) {
    CAPTURE(name);
    const TempFolder folder;
    const ModelConfig config = read_model_config(golden(name));
    const NamedTensors tensors = read_all(golden(name), config);
    save_pretrained(folder.text() + "/out", config, tensors, at::kFloat);
    const ModelConfig again = read_model_config(folder.text() + "/out");
    CHECK(again.to_json() == config.to_json());
    const NamedTensors read = read_all(folder.text() + "/out", again);
    for (size_t i = 0; i < tensors.size(); ++i) {
      CHECK(read[i].first == tensors[i].first);
      CHECK(read[i].second.equal(tensors[i].second.to(at::kFloat)));
    }
    CHECK(read_json_file(folder.text() + "/out/config.json")["dtype"] == "float32");
  }
}

TEST_CASE("load: missing, misshapen and unexpected tensors") {
  const ModelConfig config = read_model_config(golden("qwen2"));
  NamedShapes wanted = parameter_shapes(config);
  wanted.emplace_back("model.extra.weight", std::vector<int64_t>{3});
  CHECK(has(load_refusal(golden("qwen2"), wanted), "1 of 39 parameters are missing: model.extra.weight"));
  wanted = parameter_shapes(config);
  wanted[1].second = {5, 5};
  CHECK(has(load_refusal(golden("qwen2"), wanted), "q_proj.weight: expected [5, 5], found [32, 32]"));
  wanted = parameter_shapes(config);
  wanted.pop_back();
  CHECK(inspect_weights(golden("qwen2"), wanted).unexpected == std::vector<std::string>{"model.norm.weight"});
  CHECK(has(load_refusal(test_file("model"), wanted), "neither model.safetensors nor"));
  CHECK_THROWS_AS(read_model_config(test_file("model")), UserError);
  CHECK_THROWS_AS(read_model_config("/nowhere"), UserError);
}

TEST_CASE("load: rotary buffers are passed over; a tied head may be there when it is the embedding") {
  const TempFolder folder;
  const ModelConfig config = read_model_config(golden("smollm"));
  NamedTensors tensors = read_all(golden("smollm"), config);
  auto rewrite = [&] { write_safetensors(folder.text() + "/model.safetensors", tensors); };
  tensors.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", at::ones({4}));
  tensors.emplace_back("lm_head.weight", tensors[0].second);
  rewrite();
  CHECK(load_refusal(folder.text(), parameter_shapes(config)) == "");
  CHECK(inspect_weights(folder.text(), parameter_shapes(config)).unexpected.empty());
  tensors.back().second = tensors[0].second * 2;
  rewrite();
  CHECK(has(load_refusal(folder.text(), parameter_shapes(config)), "lm_head.weight differs from it"));
  tensors.pop_back();
  tensors[0].second = tensors[0].second.to(at::kInt);
  rewrite();
  CHECK(has(load_refusal(folder.text(), parameter_shapes(config)), "floating-point"));
}

TEST_CASE("load: tied weights under either name, prefixes more or less, a head that is not tied after all") {
  const ModelConfig config = read_model_config(golden("smollm"));
  REQUIRE(config.tied);
  const NamedTensors whole = read_all(golden("smollm"), config);
  const at::Tensor embedding = whole[0].second;
  auto check = [&](const NamedTensors& stored, bool tied) {
    const TempFolder folder;
    fs::copy_file(golden("smollm") + "/config.json", folder.text("config.json"));
    write_safetensors(folder.text() + "/model.safetensors", stored);
    const ModelConfig read = read_model_config(folder.text());
    CHECK(read.tied == tied);
    CHECK(inspect_weights(folder.text(), parameter_shapes(read)).unexpected.empty());
    const NamedTensors found = read_all(folder.text(), read);
    REQUIRE(found.size() == whole.size() + (tied ? 0 : 1));
    for (size_t i = 0; i < whole.size(); ++i) CHECK(found[i].second.equal(whole[i].second));
    if (!tied) CHECK(found.back().second.equal(embedding * 2));
    return read;
  };
  auto renamed = [&](const std::function<std::string(const std::string&)>& rename) {
    NamedTensors out;
    for (const auto& [name, tensor] : whole) out.emplace_back(rename(name), tensor);
    return out;
  };
  check(renamed([](const std::string& name) {
          return name == "model.embed_tokens.weight" ? "lm_head.weight" : name;
        }),
        true);
  check(renamed([](const std::string& name) { return name.substr(6); }), true);
  check(renamed([](const std::string& name) {
          return name == "model.embed_tokens.weight" ? "lm_head.weight" : name.substr(6);
        }),
        true);
  check(renamed([](const std::string& name) { return "model." + name; }), true);
  NamedTensors both = whole;
  both.emplace_back("lm_head.weight", embedding.clone());
  check(both, true);
  both.back().second = embedding * 2;
  CHECK_FALSE(check(both, false).to_json()["tie_word_embeddings"].get<bool>());
  // Untied: what is missing is missing, as nothing could stand in for it.
  ModelConfig untied = config;
  untied.tied = false;
  CHECK(inspect_weights(golden("smollm"), parameter_shapes(untied)).missing ==
        std::vector<std::string>{"lm_head.weight"});
}

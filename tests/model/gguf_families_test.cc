// The families of tests/model/golden/families as GGUF and back: the same weights and log-probs. The goldens
// have every knob on; those that llama.cpp's architecture lacks are refused, and turned off here for the
// round trip. TEMPER_GGUF_OUT names a folder in which the files stay, with their log-probs, for
// scripts/oracles/gguf_families.py and llama_cpp_families.py.
#include "model/gguf/gguf_families.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/families.h"
#include "model/gguf/gguf_check.h"
#include "model/gguf/gguf_tensors.h"
#include "model/gguf/import_gguf.h"
#include "model/golden_families.h"
#include "model/load.h"
#include "model/model.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

namespace {

std::string golden_family(const std::string& name) {
  return test_file("model/golden/families/" + name);
}

// The tiny byte-level tokenizer's tables.
GgufVocabulary tables() {
  const TempFolder folder;
  gguf_to_folder(test_file("model/golden/gguf/llama_linear.gguf"), folder.text("m"), std::nullopt);
  return vocabulary_from_folder(folder.text("m"));
}

// A golden with other keys of config.json, in fp32; biases go where they are off.
// More layers than it has are copies of its own.
void changed_model(const std::string& name, const Json& keys, const std::string& to) {
  const std::string from = golden_family(name);
  Json json = read_json_file(from + "/config.json");
  if (json.contains("text_config")) json = json["text_config"];
  const ModelConfig before = ModelConfig::from_json(json, from);
  for (const auto& [key, value] : keys.items()) json[key] = value;
  json.erase("quantization_config");
  const ModelConfig config = ModelConfig::from_json(json, from);
  const ModelFiles files(from, before.tied);
  NamedTensors tensors;
  for (const auto& [parameter, shape] : parameter_shapes(config)) {
    std::string source = parameter;
    for (int64_t l = before.layers; l < config.layers; ++l) {
      const std::string mine = fmt::format(".layers.{}.", l),
                        theirs = fmt::format(".layers.{}.", l % before.layers);
      if (const size_t at = source.find(mine); at != std::string::npos)
        source.replace(at, mine.size(), theirs);
    }
    if (files.find(source) == nullptr) source = "model.embed_tokens.weight";  // an untied head
    tensors.emplace_back(parameter, files.tensor(source).to(at::kFloat));
  }
  save_pretrained(to, config, tensors, at::kFloat);
}

std::vector<double> logp_in(const std::string& folder, const std::vector<GoldenSequence>& sequences) {
  const at::NoGradGuard no_grad;
  const auto model = Model::load(folder, Precision{});
  std::vector<double> out;
  for (const GoldenSequence& s : sequences) {
    if (s.ids.size() < 2) continue;
    Packer packer;
    packer.add_targets(packer.add_segment(s.ids), 0, static_cast<int64_t>(s.ids.size()), 0);
    const at::Tensor logp =
        model_logp(*model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp.to(at::kDouble);
    out.insert(out.end(), logp.const_data_ptr<double>(), logp.const_data_ptr<double>() + logp.numel());
  }
  return out;
}

double worst_of(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

// Norms that are stored with their 1 lose the digits below 2^-24, and logarithms come back from what they
// mean.
void check_same_parameters(const std::string& a, const std::string& b, bool exact) {
  const ModelConfig config = read_model_config(a);
  const ModelFiles left(a, config.tied), right(b, config.tied);
  for (const auto& [name, shape] : parameter_shapes(config)) {
    CAPTURE(name);
    REQUIRE(right.find(name) != nullptr);
    const at::Tensor x = left.tensor(name).to(at::kFloat), y = right.tensor(name).to(at::kFloat);
    if (name.ends_with(".A_log"))
      CHECK(x.allclose(y, 3e-7, 3e-7));
    else if (exact || !name.ends_with("norm.weight") || name.ends_with("linear_attn.norm.weight"))
      CHECK(x.equal(y));
    else
      CHECK((x - y).abs().max().item<double>() <= 6e-8);
  }
}

std::string refused(const std::string& folder) {
  const TempFolder out;
  try {
    folder_to_gguf(folder, out.text("m.gguf"), std::nullopt, tables());
  } catch (const UserError& e) {
    CHECK_FALSE(fs::exists(out.text("m.gguf")));
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "nothing";
}

// llama.cpp has one mscale for the scores and for what turns.
Json deepseek_yarn(double mscale) {
  return {{"rope_type", "yarn"},
          {"rope_theta", 100.0},
          {"factor", 8.0},
          {"original_max_position_embeddings", 32},
          {"mscale_all_dim", mscale},
          {"mscale", mscale}};
}

struct Case {
  std::string name;
  Json keys = Json::object();  // what is changed; nothing: golden.json's log-probs hold
};

std::vector<Case> cases() {
  const Json by_fours = Json::array({1, 1, 1, 0, 1});
  return {{"gemma2", {{"attention_bias", false}, {"query_pre_attn_scalar", 8}}},
          {"gemma3_text",
           {{"attention_bias", false},
            {"query_pre_attn_scalar", 8},
            {"sliding_window_pattern", 6},
            {"num_hidden_layers", 7}}},
          {"gemma3", {{"query_pre_attn_scalar", 8}, {"num_hidden_layers", 7}, {"layer_types", nullptr}}},
          {"phi3"},
          {"phi3_plain"},
          {"granite"},
          {"olmo2", {{"attention_bias", false}}},
          {"olmo3",
           {{"rope_parameters",
             {{"full_attention",
               {{"rope_type", "yarn"},
                {"rope_theta", 100.0},
                {"factor", 8.0},
                {"original_max_position_embeddings", 32}}},
              {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 100.0}}}}}}},
          {"smollm3",
           {{"attention_bias", false},
            {"mlp_bias", false},
            {"use_sliding_window", false},
            {"layer_types", nullptr},
            {"num_hidden_layers", 5},
            {"no_rope_layers", by_fours}}},
          {"glm4"},
          {"qwen3_moe",
           {{"attention_bias", false},
            {"mlp_only_layers", Json::array()},
            {"norm_topk_prob", true},
            {"num_hidden_layers", 1}}},
          {"mixtral", {{"sliding_window", nullptr}}},
          {"ministral3"},
          {"mistral3"},
          {"gpt_oss",
           {{"swiglu_limit", 7.0},
            {"rope_parameters",
             {{"rope_type", "yarn"},
              {"rope_theta", 100.0},
              {"factor", 8.0},
              {"truncate", false},
              {"original_max_position_embeddings", 32}}}}},
          {"lfm2", {{"conv_bias", false}}},
          {"glm4_moe"},
          {"deepseek_v3", {{"attention_bias", false}, {"rope_parameters", deepseek_yarn(0.5)}}},
          {"qwen3_5", {{"attention_bias", false}, {"rms_norm_eps", 1e-6}}},
          {"qwen3_5_moe"},
          {"gemma4"},
          {"gemma4_moe"},
          {"gemma4_text", {{"attention_bias", false}}},
          {"mistral_yarn",
           {{"rope_scaling",
             {{"rope_type", "yarn"}, {"factor", 8.0}, {"original_max_position_embeddings", 32}}}}}};
}

}  // namespace

TEST_CASE("gguf families: a model is the same after a file, weights, shape and log-probs") {
  const GgufVocabulary vocabulary = tables();
  const char* kept = std::getenv("TEMPER_GGUF_OUT");
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const TempFolder folder;
    const std::string out = kept == nullptr ? folder.text() : std::string(kept);
    const std::string in = c.keys.empty() ? golden_family(c.name) : out + "/" + c.name,
                      file = out + "/" + c.name + ".gguf";
    if (!c.keys.empty()) changed_model(c.name, c.keys, in);
    folder_to_gguf(in, file, at::kFloat, vocabulary);
    const std::string back = out + "/" + c.name + ".back";
    gguf_to_folder(file, back, std::nullopt);
    const ModelConfig a = read_model_config(in), b = read_model_config(back);
    CHECK(b.family == (a.family == "mistral" ? "llama" : a.family));
    CHECK(b.max_positions == a.max_positions);
    CHECK(b.sliding_window == a.sliding_window);
    CHECK(b.tied == a.tied);
    check_same_parameters(in, back, !family_of(a).norms_add_one);
    const Json golden = read_json_file(golden_family(c.name) + "/golden.json");
    const auto sequences = golden_sequences(golden);
    const std::vector<double> before = logp_in(in, sequences), after = logp_in(back, sequences);
    if (kept != nullptr) write_file_atomic(out + "/" + c.name + ".logp.json", Json(after).dump());
    const double difference = worst_of(before, after);
    MESSAGE(c.name, ": largest difference of a log-prob ", difference);
    CHECK(difference < 1e-6);
    if (!c.keys.empty()) continue;
    std::vector<double> theirs;
    for (const GoldenSequence& s : sequences)
      theirs.insert(theirs.end(), s.logprobs.begin(), s.logprobs.end());
    CHECK(worst_of(after, theirs) < 5e-5);
  }
}

TEST_CASE("gguf families: every family with an architecture has an entry, and a file here") {
  std::set<std::string> tried = {"llama", "qwen2", "qwen3"};  // in gguf_test.cc
  for (const Case& c : cases()) tried.insert(read_model_config(golden_family(c.name)).family);
  for (const Family& family : families()) {
    if (family.gguf == nullptr) continue;
    CAPTURE(family.name);
    CHECK_NOTHROW(gguf_family(family));
    CHECK(tried.count(family.name) == 1);
  }
}

TEST_CASE("gguf families: MXFP4 experts are read as they are, all their numbers in bf16") {
  const TempFolder folder;
  const std::string theirs = golden_family("gpt_oss_mxfp4"), ours = folder.text("m");
  gguf_to_folder(test_file("model/golden/gguf/gpt_oss_mxfp4.gguf"), ours, std::nullopt);
  CHECK(read_json_file(ours + "/config.json")["dtype"] == "bfloat16");
  check_same_parameters(theirs, ours, true);
  const auto sequences = golden_sequences(read_json_file(theirs + "/golden.json"));
  std::vector<double> golden;
  for (const GoldenSequence& s : sequences) golden.insert(golden.end(), s.logprobs.begin(), s.logprobs.end());
  const std::vector<double> logp = logp_in(ours, sequences);
  CHECK(worst_of(logp, logp_in(theirs, sequences)) < 1e-6);
  CHECK(worst_of(logp, golden) < 2e-5);
}

TEST_CASE("gguf families: a model that llama.cpp does not compute is refused by the key of config.json") {
  const auto refusal_of = [](const std::string& name, const Json& keys) {
    const TempFolder folder;
    changed_model(name, keys, folder.text("m"));
    return refused(folder.text("m"));
  };
  const auto names = [](const std::string& message, const std::string& key) {
    INFO(message);
    CHECK(message.find("/m: " + key + ": expected ") != std::string::npos);
  };
  const Json plain_gemma = {{"attention_bias", false}, {"query_pre_attn_scalar", 8}};
  const auto gemma = [&](const char* key, const Json& value) {
    Json keys = plain_gemma;
    keys[key] = value;
    return refusal_of("gemma2", keys);
  };
  names(refusal_of("gemma2", {{"query_pre_attn_scalar", 8}}), "attention_bias");
  names(gemma("query_pre_attn_scalar", 20), "query_pre_attn_scalar");
  names(gemma("layer_types", {"full_attention", "sliding_attention", "full_attention"}), "layer_types");
  names(gemma("sliding_window", nullptr), "sliding_window");
  names(gemma("attn_logit_softcapping", nullptr), "attn_logit_softcapping");
  names(refusal_of("gemma3", {{"query_pre_attn_scalar", 8}}), "layer_types");
  names(refusal_of("olmo2", {{"attention_bias", false}, {"tie_word_embeddings", true}}),
        "tie_word_embeddings");
  names(refusal_of("olmo3", Json::object()), "rope_parameters of layers with a window");
  names(refusal_of("smollm3", {{"attention_bias", false}, {"mlp_bias", false}}), "no_rope_layers");
  names(refusal_of("qwen3_moe", {{"attention_bias", false}, {"norm_topk_prob", true}}), "mlp_only_layers");
  names(refusal_of("qwen3_moe", {{"attention_bias", false}, {"num_hidden_layers", 1}}), "norm_topk_prob");
  names(refusal_of("gpt_oss", Json::object()), "swiglu_limit");
  names(refusal_of("llama_dynamic", Json::object()), "rope_parameters");
  names(refusal_of("mistral_yarn", Json::object()), "rope_parameters");
  names(refusal_of("gpt_oss", {{"swiglu_limit", 7.0}}), "rope_parameters");
  names(refusal_of("lfm2", Json::object()), "conv_bias");
  names(refusal_of("deepseek_v3", Json::object()), "attention_bias");
  names(refusal_of("deepseek_v3", {{"attention_bias", false}}), "rope_parameters");
  names(refusal_of("deepseek_v3", {{"attention_bias", false}, {"rope_parameters", deepseek_yarn(0.0)}}),
        "rope_parameters");
  names(refusal_of("deepseek_v3", {{"attention_bias", false},
                                   {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}}}}),
        "rope_parameters");
  names(refusal_of("qwen3_5", Json::object()), "rms_norm_eps");
  names(refusal_of("qwen3_5", {{"rms_norm_eps", 1e-6}}), "attention_bias");
  names(refusal_of("qwen3_5_moe_text", {{"attention_bias", false}}), "linear_value_head_dim");
  names(refusal_of("gemma4_text", Json::object()), "attention_bias");
  names(refusal_of("gemma4", {{"rope_parameters",
                               {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 1000.0}}},
                                {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 100.0}}}}}}),
        "rope_parameters");
}

TEST_CASE(
    "gguf families: deepseek2 tells models by their layers, and those alone have queries of one matrix") {
  const auto refusal = [](int64_t layers, const Json& rank) {
    Json json = read_json_file(golden_family("deepseek_v3") + "/config.json");
    json["num_hidden_layers"] = layers;
    json["q_lora_rank"] = rank;
    json["attention_bias"] = false;
    json["rope_parameters"] = deepseek_yarn(0.5);
    const ModelConfig config = ModelConfig::from_json(json, "m");
    const GgufContents contents{"m", gguf_metadata(config), config.vocab,
                                [](const std::string& tensor) { return tensor == "output.weight"; }, nullptr};
    try {
      check_expressible(config, contents, "m");
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  CHECK(refusal(2, 16) == "nothing");
  CHECK(refusal(27, nullptr) == "nothing");
  CHECK(refusal(26, 16).find("m: q_lora_rank: expected null with 26 layers, found 16") == 0);
  CHECK(refusal(2, nullptr).find("m: q_lora_rank: expected a number with 2 layers, found null") == 0);
}

TEST_CASE("gguf families: gates and ups of experts are read from one tensor or two") {
  const ModelConfig qwen = read_model_config(golden_family("qwen3_moe")),
                    gemma = read_model_config(golden_family("gemma4_moe"));
  const std::string parameter = "model.layers.1.mlp.experts.gate_up_proj",
                    joined = "blk.1.ffn_gate_up_exps.weight", gates = "blk.1.ffn_gate_exps.weight",
                    ups = "blk.1.ffn_up_exps.weight";
  const auto names = [&](const ModelConfig& config, const std::set<std::string>& there) {
    return gguf_names_in(config, parameter, [&](const std::string& name) { return there.count(name) > 0; });
  };
  using Names = std::vector<std::string>;
  CHECK(names(qwen, {gates, ups}) == Names{gates, ups});
  CHECK(names(qwen, {joined}) == Names{joined});
  CHECK(names(qwen, {}) == Names{gates, ups});
  CHECK(names(gemma, {joined}) == Names{joined});
  CHECK(names(gemma, {gates, ups}) == Names{gates, ups});
  CHECK(names(gemma, {}) == Names{joined});
  const at::Tensor value = at::arange(48, at::kFloat).reshape({2, 6, 4});
  CHECK(from_gguf(qwen, parameter, {value}).equal(value));
  CHECK(from_gguf(gemma, parameter, {value.narrow(1, 0, 3), value.narrow(1, 3, 3)}).equal(value));
}

TEST_CASE("gguf families: Gemma 4's words go by the order of its merges, and come back with it") {
  const TempFolder folder;
  const Json tokenizer = Json::parse(R"({
    "added_tokens": [{"id": 8, "content": "<end>", "special": true}],
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
              "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁a": 4, "ab": 5, "▁ab": 6, "<0x0A>": 7},
              "merges": [["a", "b"], ["▁", "ab"], ["▁", "a"], ["▁a", "b"]]}})");
  const Json& model = tokenizer["model"];
  fs::create_directories(folder.text("words"));
  write_file_atomic(folder.text("words/tokenizer.json"), tokenizer.dump());
  folder_to_gguf(golden_family("gemma4_moe"), folder.text("m.gguf"), std::nullopt,
                 vocabulary_from_folder(folder.text("words")));
  const GgufFile file(folder.text("m.gguf"));
  CHECK(file.text("tokenizer.ggml.model") == "gemma4");
  CHECK(file.texts("tokenizer.ggml.merges").size() == 4);
  gguf_to_folder(folder.text("m.gguf"), folder.text("m"), std::nullopt);
  const Json back = read_json_file(folder.text("m/tokenizer.json"));
  CHECK(back["model"]["merges"] == model["merges"]);
  CHECK(back["model"]["byte_fallback"] == true);
  CHECK(back["model"]["unk_token"] == "<unk>");
  for (const auto& [piece, id] : model["vocab"].items()) CHECK(back["model"]["vocab"][piece] == id);
  CHECK(back["normalizer"]["normalizers"].size() == 1);
  CHECK(back["added_tokens"].back()["content"] == "<end>");
}

TEST_CASE("gguf families: windows that llama.cpp passes over end the context or stay, with their shape") {
  const TempFolder folder;
  const auto there_and_back = [&](const std::string& name) {
    fs::remove(folder.text("m.gguf"));
    fs::remove_all(folder.text("m"));
    folder_to_gguf(golden_family(name), folder.text("m.gguf"), std::nullopt, tables());
    gguf_to_folder(folder.text("m.gguf"), folder.text("m"), std::nullopt);
    return read_model_config(folder.text("m"));
  };
  const ModelConfig mixtral = there_and_back("mixtral");
  CHECK(mixtral.max_positions == 8);
  CHECK(mixtral.sliding_window == 0);
  const ModelConfig phi = there_and_back("phi3");
  CHECK(phi.max_positions == 256);
  CHECK(phi.sliding_window == 24);
  CHECK(GgufFile(folder.text("m.gguf")).integer("phi3.rope.dimension_count") == 6);
}

TEST_CASE("gguf families: what does not fit is refused, and layers behind the model's are passed over") {
  using Value = std::string;
  const auto raw = [](auto value) { return Value(reinterpret_cast<const char*>(&value), sizeof value); };
  // A key with its value of 4 bytes, as it lies in a file.
  const auto entry = [&](const std::string& key, uint32_t type, auto value) {
    return raw(uint64_t{key.size()}) + key + raw(type) + raw(value);
  };
  const uint32_t u32 = 4, f32 = 6;
  const TempFolder folder;
  const auto import_of = [&](const std::string& in, const std::string& from, const std::string& to) {
    fs::remove(folder.text("m.gguf"));
    fs::remove_all(folder.text("m"));
    folder_to_gguf(in, folder.text("m.gguf"), std::nullopt, tables());
    std::string bytes = read_file(folder.text("m.gguf"));
    REQUIRE(from.size() == to.size());
    REQUIRE(bytes.find(from) != std::string::npos);
    bytes.replace(bytes.find(from), from.size(), to);
    write_file_atomic(folder.text("m.gguf"), bytes);
    gguf_to_folder(folder.text("m.gguf"), folder.text("m"), std::nullopt);
  };
  const auto error_of = [&](const std::string& in, const std::string& from, const std::string& to) {
    try {
      import_of(in, from, to);
    } catch (const UserError& e) {
      CHECK_FALSE(fs::exists(folder.text("m")));
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  const auto has = [](const std::string& message, const std::string& part) {
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
  };
  has(error_of(golden_family("glm4_moe"), entry("glm4moe.expert_gating_func", u32, uint32_t{2}),
               entry("glm4moe.expert_gating_func", u32, uint32_t{1})),
      "glm4moe.expert_gating_func: expected 2 for glm4_moe, found 1");
  has(error_of(golden_family("glm4_moe"), entry("glm4moe.expert_weights_scale", f32, 1.7f),
               entry("glm4moe.nextn_predict_layers", u32, uint32_t{2})),
      "glm4moe.nextn_predict_layers: expected less than the block_count 2, found 2");
  has(error_of(golden_family("glm4_moe"), "glm4moe.expert_used_count", "glm4moe.expert_uzed_count"),
      "glm4moe.expert_used_count is missing");
  has(error_of(golden_family("phi3"), entry("phi3.rope.dimension_count", u32, uint32_t{6}),
               entry("phi3.rope.dimension_count", u32, uint32_t{12})),
      "phi3.rope.dimension_count: expected 2 to the head size 8, found 12");
  has(error_of(golden_family("phi3"), "rope_factors_short", "rope_factors_shirt"),
      "the tensor rope_factors_short.weight is missing");
  has(error_of(golden_family("mixtral"), "llama.expert_count", "llama.expert_kount"),
      "blk.0.ffn_gate.weight is missing");
  has(error_of(golden_family("phi3_plain"), entry("phi3.attention.sliding_window", u32, uint32_t{0}),
               entry("phi3.attention.sliding_window", u32, ~uint32_t{0} - 1)),
      "nothing");  // beyond every context
  has(error_of(golden_family("qwen3_5_moe"), entry("qwen35moe.ssm.inner_size", u32, uint32_t{32}),
               entry("qwen35moe.ssm.inner_size", u32, uint32_t{64})),
      "qwen35moe.ssm.inner_size: expected 4 heads of ssm.state_size 8, found 64");
  has(error_of(golden_family("gemma4"), entry("gemma4.rope.dimension_count", u32, uint32_t{16}),
               entry("gemma4.rope.dimension_count", u32, uint32_t{8})),
      "gemma4.rope.dimension_count: expected 16, found 8");
  has(error_of(golden_family("gemma4"), "rope_freqs", "rope_frecs"),
      "the tensor rope_freqs.weight is missing");
  const TempFolder deepseek;
  changed_model("deepseek_v3", {{"attention_bias", false}, {"rope_parameters", deepseek_yarn(0.5)}},
                deepseek.text("m"));
  has(error_of(deepseek.text("m"), "deepseek2.rope.scaling.yarn_log_multiplier",
               "deepseek2.rope.scaling.yarn_lag_multiplier"),
      "deepseek2.rope.scaling.yarn_log_multiplier is missing");
  has(error_of(deepseek.text("m"), "deepseek2.attention.key_length_mla",
               "deepseek2.attention.key_length_mlb"),
      "deepseek2.attention.key_length_mla is missing");
  const TempFolder olmo;
  Json rope = {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 100.0}}},
               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 100.0}}}};
  changed_model("olmo3", {{"rope_parameters", rope}}, olmo.text("m"));
  has(error_of(olmo.text("m"), entry("olmo2.block_count", u32, uint32_t{4}),
               entry("olmo2.block_count", u32, uint32_t{3})),
      "layer_types: expected an array of 3 strings");

  import_of(golden_family("glm4_moe"), entry("glm4moe.expert_weights_scale", f32, 1.7f),
            entry("glm4moe.nextn_predict_layers", u32, uint32_t{1}));
  CHECK(read_model_config(folder.text("m")).layers == 1);
  CHECK_NOTHROW(Model::load(folder.text("m"), Precision{}));
}

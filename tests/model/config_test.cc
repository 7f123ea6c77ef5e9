#include "model/config.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/families.h"
#include "model/load.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

Json llama() {
  return parse_json(R"({"model_type": "llama", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4})",
                    "text");
}

std::string config_refusal(const Json& json) {
  try {
    ModelConfig::from_json(json, "x/config.json");
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    CHECK(std::string(e.what()).substr(0, 14) == "x/config.json:");
    return e.what();
  }
  return "";
}

std::string config_refusal(const char* key, Json value) {
  Json json = llama();
  json[key] = std::move(value);
  return config_refusal(json);
}

}  // namespace

TEST_CASE("config: the defaults of transformers stand in for missing keys") {
  const ModelConfig c = ModelConfig::from_json(llama(), "x");
  CHECK(c.kv_heads == 4);
  CHECK(c.head_dim == 8);
  CHECK(c.max_positions == 2048);
  CHECK(c.norm_eps == 1e-6);
  CHECK(c.rope.theta == 10000.0);
  CHECK(c.rope.type == "default");
  CHECK(c.eos_ids == std::vector<int64_t>{2});
  CHECK(c.bos_id == 1);
  CHECK_FALSE(c.pad_id.has_value());
  CHECK_FALSE(c.tied);
}

TEST_CASE("config: both spellings of the rotary embedding") {
  Json old = llama();
  old["rope_theta"] = 500000.0;
  old["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
  Json both = llama();
  both["rope_parameters"] = {{"rope_type", "linear"}, {"rope_theta", 500000.0}, {"factor", 2.0}};
  for (const Json& json : {old, both}) {
    const ModelConfig c = ModelConfig::from_json(json, "x");
    CHECK(c.rope.theta == 500000.0);
    CHECK(c.rope.type == "linear");
    CHECK(c.rope.factor == 2.0);
  }
  Json llama3 = llama();
  llama3["max_position_embeddings"] = 4096;
  llama3["rope_scaling"] = {
      {"rope_type", "llama3"}, {"factor", 32.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  const ModelConfig c = ModelConfig::from_json(llama3, "x");
  CHECK(c.rope.high_freq_factor == 4.0);
  CHECK(c.rope.original_max_positions == 4096);  // when the key is left out, as transformers does
}

TEST_CASE("config: windows by family") {
  Json json = llama();
  json["num_key_value_heads"] = 2;
  json["model_type"] = "mistral";
  CHECK(ModelConfig::from_json(json, "x").window(1) == 4096);
  json["sliding_window"] = nullptr;
  CHECK(ModelConfig::from_json(json, "x").window(1) == 0);
  json["model_type"] = "qwen2";
  json["sliding_window"] = 16;
  CHECK(ModelConfig::from_json(json, "x").sliding_window ==
        0);  // switched off unless use_sliding_window says so
  json["use_sliding_window"] = true;
  json["max_window_layers"] = 1;
  ModelConfig c = ModelConfig::from_json(json, "x");
  CHECK(c.window(0) == 0);
  CHECK(c.window(1) == 16);
  CHECK(c.qkv_bias);
  CHECK_FALSE(c.out_bias);
  json["layer_types"] = {"sliding_attention", "full_attention"};
  c = ModelConfig::from_json(json, "x");
  CHECK(c.window(0) == 16);
  CHECK(c.window(1) == 0);
  json["layer_types"] = {"sliding_attention"};
  CHECK(has(config_refusal(json), "layer_types"));
  json["layer_types"] = {"sliding_attention", "chunked_attention"};
  CHECK(has(config_refusal(json), "chunked_attention"));
}

TEST_CASE("config: what cannot be computed is refused with key, expectation and value") {
  CHECK(config_refusal(llama()) == "");
  CHECK(has(config_refusal(Json::array()), "expected an object"));
  CHECK(has(config_refusal("model_type", "gpt2"), "llama, mistral, qwen2, qwen3"));
  CHECK(has(config_refusal("model_type", nullptr), "llama, mistral, qwen2, qwen3"));
  CHECK(has(config_refusal("model_type", 3), "expected a string"));
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "max_position_embeddings"}) {
    CHECK(has(config_refusal(key, 0), key));
    CHECK(has(config_refusal(key, -4), key));
    CHECK(has(config_refusal(key, 2.5), key));
    CHECK(has(config_refusal(key, "32"), key));
    CHECK(has(config_refusal(key, 1000000000000000), key));
    CHECK(has(config_refusal(key, 18446744073709551615ULL), key));
    CHECK(has(config_refusal(key, Json::array()), key));
  }
  Json missing = llama();
  missing.erase("hidden_size");
  CHECK(has(config_refusal(missing), "hidden_size: missing"));
  CHECK(has(config_refusal("num_attention_heads", 5), "multiple"));
  CHECK(has(config_refusal("num_key_value_heads", 3), "multiple"));
  CHECK(has(config_refusal("num_attention_heads", 32), "even"));
  CHECK(has(config_refusal("head_dim", 7), "even"));
  CHECK(has(config_refusal("rms_norm_eps", "tiny"), "rms_norm_eps"));
  CHECK(has(config_refusal("rope_theta", -1), "rope_theta"));
  CHECK(has(config_refusal("rope_scaling", {{"rope_type", "spiral"}, {"factor", 4}}), "spiral"));
  CHECK(has(config_refusal("rope_scaling", {{"rope_type", "linear"}}), "factor: missing"));
  CHECK(has(config_refusal("rope_scaling", "linear"), "rope_scaling: expected an object"));
  CHECK(has(config_refusal(
                "rope_scaling",
                {{"rope_type", "llama3"}, {"factor", 4}, {"low_freq_factor", 4}, {"high_freq_factor", 1}}),
            "high_freq_factor"));
  CHECK(has(config_refusal("partial_rotary_factor", 0.5), "partial_rotary_factor"));
  CHECK(has(config_refusal("hidden_act", "gelu"), "gelu"));
  CHECK(has(config_refusal("quantization_config", {{"bits", 4}}), "quantization_config"));
  CHECK(has(config_refusal("eos_token_id", "two"), "eos_token_id"));
  CHECK(has(config_refusal("eos_token_id", {2, "x"}), "eos_token_id"));
  CHECK(has(config_refusal("tie_word_embeddings", 1), "tie_word_embeddings"));
  Json vast = llama();
  vast["hidden_size"] = 1 << 20;
  vast["intermediate_size"] = 1 << 20;
  vast["num_hidden_layers"] = 4096;
  vast["num_attention_heads"] = 1024;
  CHECK(has(config_refusal(vast), "parameters"));
}

TEST_CASE("config: what is written is read back the same") {
  for (const std::string name : {"llama3", "llama_linear", "smollm", "mistral", "qwen2", "qwen3"}) {
    CAPTURE(name);
    const std::string folder = test_file("model/golden/" + name);
    const ModelConfig a = read_model_config(folder);
    const ModelConfig b = ModelConfig::from_json(parse_json(dump_line(a.to_json()), "again"), "again");
    CHECK(a.to_json() == b.to_json());
    CHECK(a.parameter_count() == read_json_file(folder + "/golden.json")["parameters"].get<int64_t>());
    CHECK(parameter_shapes(a) == parameter_shapes(b));
    for (int64_t layer = 0; layer < a.layers; ++layer) CHECK(a.window(layer) == b.window(layer));
  }
  CHECK(read_model_config(test_file("model/golden/llama3")).eos_ids == std::vector<int64_t>{2, 7});
}

TEST_CASE("config: what families leave out means what it means in transformers") {
  Json json = llama();
  json["head_dim"] = 8;
  const auto read = [&](const char* family) {
    json["model_type"] = family;
    json["num_key_value_heads"] = 2;
    json["num_hidden_layers"] = 8;
    return ModelConfig::from_json(json, "x");
  };
  ModelConfig c = read("gemma2");
  CHECK(c.tied);
  CHECK(c.activation == "gelu_tanh");
  CHECK(c.attention_softcap == 50.0);
  CHECK(c.logits.softcap == 30.0);
  CHECK(c.attention_scale == doctest::Approx(1.0 / 16));
  CHECK(c.embedding_scale == doctest::Approx(std::sqrt(32.0)));
  CHECK(c.window(0) == 4096);
  CHECK(c.window(1) == 0);
  c = read("gemma3_text");
  CHECK(c.attention_softcap == 0.0);  // the code of gemma3 never passes it on
  CHECK(c.logits.softcap == 0.0);
  CHECK(c.rope.theta == 1e6);
  REQUIRE(c.window_rope.has_value());
  CHECK(c.window_rope->theta == 1e4);
  CHECK(c.window(4) == 4096);
  CHECK(c.window(5) == 0);
  CHECK(c.rope_of(0).theta == 1e4);
  CHECK(c.rope_of(5).theta == 1e6);
  c = read("granite");
  CHECK(c.attention_scale == 1.0);
  c = read("olmo3");
  CHECK(c.window(2) == 4096);
  CHECK(c.window(3) == 0);
  CHECK_FALSE(c.window_rope.has_value());  // the same in both kinds of layers
  c = read("smollm3");
  CHECK(c.turns(2));
  CHECK_FALSE(c.turns(3));
  CHECK(c.sliding_window == 0);
  c = read("ministral3");
  CHECK(c.rope.type == "yarn");
  CHECK(c.rope.amplitude == 1.0);
  CHECK(c.query_growth == 0.1);
  c = read("glm4");
  CHECK(c.qkv_bias);
  CHECK_FALSE(c.out_bias);
  CHECK(c.rope.partial == 0.5);
}

TEST_CASE("config: keys of other families are passed over, as transformers does") {
  Json json = llama();
  json["embedding_multiplier"] = 12.0;
  json["final_logit_softcapping"] = 30.0;
  json["no_rope_layers"] = {1, 0};
  const ModelConfig c = ModelConfig::from_json(json, "x");
  CHECK(c.embedding_scale == 1.0);
  CHECK(c.logits.plain());
  CHECK(c.layer_turns.empty());
}

TEST_CASE("config: the text part of a model of several parts") {
  Json text = llama();
  text["model_type"] = "gemma3_text";
  text["head_dim"] = 8;
  text["num_key_value_heads"] = 2;
  const Json json = {{"model_type", "gemma3"},
                     {"architectures", {"Gemma3ForConditionalGeneration"}},
                     {"tie_word_embeddings", false},
                     {"eos_token_id", {1, 106}},
                     {"vision_config", {{"model_type", "siglip_vision_model"}}},
                     {"text_config", text}};
  const ModelConfig c = ModelConfig::from_json(json, "x/config.json");
  CHECK(c.family == "gemma3_text");
  CHECK_FALSE(c.tied);  // the outer key counts
  CHECK(c.eos_ids == std::vector<int64_t>{1, 106});
  CHECK(c.to_json()["architectures"] == Json{"Gemma3ForCausalLM"});
  Json broken = json;
  broken["text_config"]["hidden_size"] = "wide";
  CHECK(has(config_refusal(broken), "text_config: hidden_size"));
  broken = json;
  broken["text_config"]["model_type"] = "gpt2";
  CHECK(has(config_refusal(broken), "text_config: model_type"));
}

TEST_CASE("config: rotary positions that cannot be computed are refused") {
  Json json = llama();
  json["model_type"] = "phi3";
  json["partial_rotary_factor"] = 0.75;
  json["rope_scaling"] = {{"type", "su"}, {"short_factor", {1, 2, 3}}, {"long_factor", {2, 3, 4}}};
  const ModelConfig c = ModelConfig::from_json(json, "x");
  CHECK(c.rope.type == "longrope");
  CHECK(c.rope.short_factors == std::vector<double>{1, 2, 3});
  json["rope_scaling"]["long_factor"] = {2, 3};
  CHECK(has(config_refusal(json), "long_factor: expected 3 numbers"));
  json["partial_rotary_factor"] = 0.4;
  CHECK(has(config_refusal(json), "partial_rotary_factor"));
  CHECK(has(config_refusal("partial_rotary_factor", 0.5), "only 1 is supported for llama"));
  Json gemma = llama();
  gemma["model_type"] = "gemma2";
  gemma["use_bidirectional_attention"] = true;
  CHECK(has(config_refusal(gemma), "use_bidirectional_attention"));
}

TEST_CASE(
    "config: experts that do not divide, and routers that are not computed, are refused by their keys") {
  Json json = llama();
  json["model_type"] = "glm4_moe";
  json["head_dim"] = 8;
  json["num_key_value_heads"] = 2;
  json["n_routed_experts"] = 6;
  json["num_experts_per_tok"] = 2;
  json["n_group"] = 3;
  json["topk_group"] = 2;
  CHECK(config_refusal(json) == "");
  const auto with = [&](const char* key, Json value) {
    Json changed = json;
    changed[key] = std::move(value);
    return config_refusal(changed);
  };
  CHECK(has(with("n_group", 4), "n_group: the 6 experts do not divide into 4 groups"));
  CHECK(has(with("topk_group", 4), "topk_group"));
  CHECK(has(with("num_experts_per_tok", 5), "num_experts_per_tok"));
  CHECK(has(with("n_group", 6), "two best"));
  CHECK(has(with("first_k_dense_replace", "all"), "first_k_dense_replace"));
  Json mixtral = llama();
  mixtral["model_type"] = "mixtral";
  mixtral["num_key_value_heads"] = 2;
  mixtral["router_jitter_noise"] = 0.1;
  CHECK(has(config_refusal(mixtral), "router_jitter_noise"));
  Json oss = llama();
  oss["model_type"] = "gpt_oss";
  oss["num_key_value_heads"] = 2;
  oss["head_dim"] = 8;
  oss["quantization_config"] = {{"quant_method", "mxfp4"}};
  CHECK(config_refusal(oss) == "");
  oss["quantization_config"] = {{"quant_method", "fp8"}};
  CHECK(has(config_refusal(oss), "quantization_config"));
  Json near = llama();
  near["model_type"] = "olmo9";
  CHECK(has(config_refusal(near), "the nearest is olmo"));
}

TEST_CASE("config: layers that are unlike each other, in both spellings") {
  Json json = llama();
  json["model_type"] = "gemma4_text";
  json["head_dim"] = 8;
  json["num_attention_heads"] = 4;
  json["num_key_value_heads"] = 2;
  json["num_hidden_layers"] = 5;
  json["layer_types"] = {"sliding_attention", "sliding_attention", "full_attention", "sliding_attention",
                         "sliding_attention"};
  json["attention_k_eq_v"] = true;
  json["num_kv_shared_layers"] = 2;
  json["use_double_wide_mlp"] = true;
  json["hidden_size_per_layer_input"] = 0;
  Json released = json;
  released["global_head_dim"] = 16;
  released["num_global_key_value_heads"] = 1;
  json["per_layer_config"]["2"] = {{"head_dim", 16}, {"num_key_value_heads", 1}};
  json["per_layer_config"]["4"] = json["per_layer_config"]["2"];
  for (const Json& spelling : {json, released}) {
    const ModelConfig c = ModelConfig::from_json(spelling, "x");
    CHECK(c.window(4) == 0);  // the last layer sees all
    CHECK(c.head_dim_of(1) == 8);
    CHECK(c.head_dim_of(2) == 16);
    CHECK(c.kv_heads_of(1) == 2);
    CHECK(c.kv_heads_of(2) == 1);
    CHECK(c.kv_heads_of(3) == 0);
    CHECK(c.lender(3) == 1);
    CHECK(c.lender(4) == 2);
    CHECK(c.lends(1));
    CHECK_FALSE(c.lends(0));
    CHECK(c.intermediate_of(3) == 2 * c.intermediate_of(2));
    CHECK(c.rope.type == "proportional");
    CHECK(c.attention_scale == 1.0);
  }
  const auto with = [&](const char* key, Json value) {
    Json changed = json;
    changed[key] = std::move(value);
    return config_refusal(changed);
  };
  CHECK(has(with("per_layer_config", {{"2", {{"head_dim", 16}}}}), "per_layer_config: layer 4"));
  CHECK(has(with("per_layer_config", {{"2", {{"intermediate_size", 16}}}}), "2: intermediate_size"));
  CHECK(has(with("per_layer_config", {{"7", {{"head_dim", 16}}}}), "layers from 0 to 4"));
  CHECK(has(with("num_kv_shared_layers", 3), "no layer of its type"));
  CHECK(has(with("hidden_size_per_layer_input", 4), "vocab_size_per_layer_input"));
  CHECK(has(with("use_bidirectional_attention", "all"), "use_bidirectional_attention"));
  CHECK(with("use_bidirectional_attention", "vision") == "");
  CHECK(has(with("enable_moe_block", true), "top_k_experts"));
}

TEST_CASE("config: LFM2's width and layers, in its own words") {
  Json json = llama();
  json["model_type"] = "lfm2";
  json["num_key_value_heads"] = 2;
  json["intermediate_size"] = 100;
  json["num_hidden_layers"] = 3;
  json["full_attn_idxs"] = {1};
  ModelConfig c = ModelConfig::from_json(json, "x");
  CHECK(c.intermediate == 256);  // 66 filled up
  CHECK(c.short_convolution(0));
  CHECK_FALSE(c.short_convolution(1));
  CHECK(c.to_json()["intermediate_size"] == 100);
  CHECK(c.to_json()["norm_eps"] == 1e-5);
  json["block_auto_adjust_ff_dim"] = false;
  json["block_ff_dim"] = 96;
  json["tie_embedding"] = false;
  json["layer_types"] = {"conv", "conv", "full_attention"};
  c = ModelConfig::from_json(json, "x");
  CHECK(c.intermediate == 96);
  CHECK_FALSE(c.tied);
  CHECK(c.recurrent(1));
  CHECK_FALSE(c.recurrent(2));
  json["layer_types"] = {"conv", "sliding_attention", "conv"};
  CHECK(has(config_refusal(json), "layer_types"));
}

#include "model/gguf/gguf_mixture.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "model/convert.h"
#include "model/families.h"
#include "model/gguf/import_gguf.h"
#include "model/load.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

namespace {

// The matrices of a model as choose_types() gets them.
std::map<std::string, GgmlType> types_of(const std::string& mixture, const ModelConfig& config,
                                         const std::string& arch, int64_t row = 512) {
  std::vector<GgufTensor> tensors = {{"token_embd.weight", GgmlType::kF16, {100, row}},
                                     {"output_norm.weight", GgmlType::kF32, {row}}};
  if (!config.tied) tensors.push_back({"output.weight", GgmlType::kF16, {100, row}});
  for (int64_t l = 0; l < config.layers; ++l)
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
      tensors.push_back({fmt::format("blk.{}.{}.weight", l, part), GgmlType::kF16, {row, row}});
  choose_types(mixture, config, arch, tensors);
  std::map<std::string, GgmlType> out;
  for (const GgufTensor& t : tensors) out[t.name] = t.type;
  return out;
}

}  // namespace

TEST_CASE("gguf mixtures: types as llama-quantize chooses them") {
  ModelConfig config;
  config.layers = 16, config.heads = 8, config.kv_heads = 2;
  auto types = types_of("q4_k_m", config, "llama");
  CHECK(types["token_embd.weight"] == GgmlType::kQ4_K);
  CHECK(types["output.weight"] == GgmlType::kQ6_K);
  CHECK(types["output_norm.weight"] == GgmlType::kF32);
  // Of 16 layers the first two, the last two and 4, 7, 10, 13 have more bits.
  for (int64_t l = 0; l < 16; ++l) {
    CAPTURE(l);
    const bool more = l < 2 || l >= 14 || l == 4 || l == 7 || l == 10 || l == 13;
    const GgmlType wanted = more ? GgmlType::kQ6_K : GgmlType::kQ4_K;
    CHECK(types[fmt::format("blk.{}.attn_v.weight", l)] == wanted);
    CHECK(types[fmt::format("blk.{}.ffn_down.weight", l)] == wanted);
    CHECK(types[fmt::format("blk.{}.attn_output.weight", l)] == GgmlType::kQ4_K);
  }
  types = types_of("q5_k_m", config, "llama");
  CHECK(types["blk.0.attn_v.weight"] == GgmlType::kQ6_K);
  CHECK(types["blk.2.attn_v.weight"] == GgmlType::kQ5_K);
  types = types_of("q8_0", config, "llama");
  CHECK(types["output.weight"] == GgmlType::kQ8_0);
  CHECK(types["blk.0.ffn_down.weight"] == GgmlType::kQ8_0);
  config.tied = true;
  CHECK(types_of("q4_0", config, "llama")["token_embd.weight"] == GgmlType::kQ6_K);
  CHECK(types_of("q6_k", config, "llama")["blk.5.attn_k.weight"] == GgmlType::kQ6_K);
  // Rows that are no whole blocks.
  types = types_of("q4_k_m", config, "llama", 96);
  CHECK(types["token_embd.weight"] == GgmlType::kQ8_0);
  CHECK(types["blk.2.attn_v.weight"] == GgmlType::kQ5_0);
  CHECK(types["blk.0.attn_v.weight"] == GgmlType::kQ8_0);
  CHECK(types_of("q5_k_m", config, "llama", 96)["blk.2.ffn_up.weight"] == GgmlType::kQ5_1);
  CHECK(types_of("q8_0", config, "llama", 48)["blk.2.ffn_up.weight"] == GgmlType::kF16);
  // Mixtral, and 80 layers.
  config.experts.count = 8;
  types = types_of("q4_k_m", config, "llama");
  CHECK(types["blk.2.attn_v.weight"] == GgmlType::kQ8_0);
  CHECK(types["blk.2.attn_k.weight"] == GgmlType::kQ8_0);
  CHECK(types["blk.2.attn_output.weight"] == GgmlType::kQ5_K);
  config.experts.count = 0, config.layers = 80;
  CHECK(types_of("q4_k_m", config, "llama")["blk.11.attn_v.weight"] == GgmlType::kQ5_K);
  CHECK(types_of("q4_k_m", config, "qwen3")["blk.11.attn_v.weight"] == GgmlType::kQ4_K);
}

TEST_CASE("gguf mixtures: a file of few bits is read back near to the folder it was made from") {
  TempFolder folder;
  const std::string from = folder.text("in");
  gguf_to_folder(test_file("model/golden/gguf/llama_linear.gguf"), from, std::nullopt);
  const GgufVocabulary vocabulary = vocabulary_from_folder(from);
  for (const auto& [mixture, bound] : {std::pair{"q8_0", 0.008}, {"q6_k", 0.03}, {"q4_0", 0.12}}) {
    CAPTURE(mixture);
    const std::string file = folder.text(std::string(mixture) + ".gguf"),
                      back = folder.text(std::string(mixture));
    folder_to_gguf(from, file, std::nullopt, vocabulary, mixture);
    CHECK(GgufFile(file).integer("general.file_type") == gguf_file_type(mixture));
    gguf_to_folder(file, back, std::nullopt);
    const ModelConfig config = read_model_config(from);
    const ModelFiles was(from, config.tied), now(back, config.tied);
    for (const auto& [name, shape] : parameter_shapes(config)) {
      CAPTURE(name);
      const at::Tensor x = was.tensor(name).to(at::kFloat);
      CHECK(((now.tensor(name).to(at::kFloat) - x).norm() / x.norm()).item<double>() < bound);
    }
  }
}

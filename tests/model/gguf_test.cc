// Models from GGUF (written by the gguf package, scripts/oracles/gguf_files.py) and back.
#include <ATen/ATen.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/convert.h"
#include "model/generation.h"
#include "model/gguf/import_gguf.h"
#include "model/golden_models.h"
#include "model/load.h"
#include "model/model.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

void check_same_weights(const std::string& a, const std::string& b) {
  const SafetensorsFolder left(a), right(b);
  const ModelConfig config = read_model_config(a);
  for (const auto& [name, shape] : parameter_shapes(config)) {
    CAPTURE(name);
    REQUIRE(right.find(name) != nullptr);
    CHECK(left.tensor(name).to(at::kFloat).equal(right.tensor(name).to(at::kFloat)));
  }
}

// A folder with the golden's weights and the tiny byte-level tokenizer.
void with_tokenizer(const std::string& name, const std::string& to) {
  cast_folder(golden(name), to, std::nullopt);
  gguf_to_folder(golden("gguf/llama_linear.gguf"), to + "/tmp", std::nullopt);
  fs::rename(to + "/tmp/tokenizer.json", to + "/tokenizer.json");
  fs::rename(to + "/tmp/tokenizer_config.json", to + "/tokenizer_config.json");
  fs::remove_all(to + "/tmp");
}

// The tiny byte-level tokenizer's tables with what it puts before a text, and its end token.
GgufVocabulary tiny_vocabulary(const std::string& folder) {
  GgufVocabulary v = vocabulary_from_folder(folder);
  v.bos = 1;
  v.eos = 2;
  v.add_bos = true;
  return v;
}

// The refusal of the byte-level golden with `from` replaced by `to`, of the same length.
std::string gguf_refusal(const std::string& from, const std::string& to) {
  const TempFolder folder;
  std::string bytes = read_file(golden("gguf/llama_linear.gguf"));
  REQUIRE(from.size() == to.size());
  REQUIRE(bytes.find(from) != std::string::npos);
  bytes.replace(bytes.find(from), from.size(), to);
  std::ofstream(folder.text("x.gguf"), std::ios::binary) << bytes;
  try {
    gguf_to_folder(folder.text("x.gguf"), folder.text("out"), std::nullopt);
  } catch (const UserError& e) {
    CHECK_FALSE(fs::exists(folder.text("out")));
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "";
}

std::string entry(const std::string& key, uint32_t type, const std::string& value) {
  const uint64_t size = key.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + key +
         std::string(reinterpret_cast<const char*>(&type), 4) + value;
}
template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

TEST_CASE("gguf import: a file in llama.cpp's row order gives the Hugging Face weights and log-probs") {
  for (const std::string name : {"llama_linear", "qwen3"}) {
    CAPTURE(name);
    const TempFolder folder;
    gguf_to_folder(golden("gguf/" + name + ".gguf"), folder.text("out"), std::nullopt);
    check_same_weights(golden(name), folder.text("out"));
    const ModelConfig a = read_model_config(golden(name)), b = read_model_config(folder.text("out"));
    CHECK(a.rope.theta == b.rope.theta);
    CHECK(a.rope.type == b.rope.type);
    CHECK(a.rope.factor == b.rope.factor);
    CHECK(a.norm_eps == b.norm_eps);
    CHECK(a.head_dim == b.head_dim);
    CHECK(a.qkv_bias == b.qkv_bias);
    CHECK(a.mlp_bias == b.mlp_bias);
    CHECK(a.max_positions == b.max_positions);
    CHECK(read_json_file(folder.text("out/config.json"))["dtype"] == "bfloat16");
    CHECK_NOTHROW(Model::load(folder.text("out"), Precision{}));
  }
}

TEST_CASE("gguf import: a byte-level tokenizer") {
  const TempFolder folder;
  gguf_to_folder(golden("gguf/llama_linear.gguf"), folder.text("out"), at::kFloat);
  CHECK(read_json_file(folder.text("out/config.json"))["dtype"] == "float32");
  CHECK(read_model_config(folder.text("out")).eos_ids == std::vector<int64_t>{0, 2});
  CHECK(read_model_config(folder.text("out")).bos_id == 1);
  const Json json = read_json_file(folder.text("out/tokenizer.json"));
  CHECK(json["added_tokens"].size() == 4);
  CHECK(json["added_tokens"][0]["special"] == true);
  CHECK(json["added_tokens"][3]["content"] == "<tool>");
  CHECK(json["added_tokens"][3]["special"] == false);
  CHECK(json["model"]["vocab"].size() ==
        119);  // an unused token stands before the last added one: ids must not shift
  CHECK(json["model"]["ignore_merges"] == true);
  CHECK(json["model"]["merges"][2] == Json({"Ġa", "bc"}));
  CHECK(has(json["pre_tokenizer"].dump(), "{1,3}"));
  CHECK(json["post_processor"]["single"][0]["SpecialToken"]["id"] == "<|start|>");
  const Json config = read_json_file(folder.text("out/tokenizer_config.json"));
  CHECK(config["eos_token"] == "<|end|>");
  CHECK(config["chat_template"] == "{{ messages[0]['content'] }}");
}

TEST_CASE("gguf import: the merges of a SentencePiece tokenizer are those that transformers derives") {
  const TempFolder folder;
  gguf_to_folder(golden("gguf/qwen3.gguf"), folder.text("out"), std::nullopt);
  const Json json = read_json_file(folder.text("out/tokenizer.json"));
  CHECK(json["model"]["merges"] == read_json_file(golden("gguf/merges.json"))["merges"]);
  CHECK(json["model"]["byte_fallback"] == true);
  CHECK(json["model"]["unk_token"] == "<unk>");
  CHECK(json["normalizer"]["normalizers"][0]["prepend"] == "▁");
  CHECK(json["added_tokens"].size() == 3);
}

TEST_CASE("gguf export: every family comes back as it was, tokenizer and all") {
  for (const std::string name : {"llama3", "llama_linear", "smollm", "mistral", "qwen2", "qwen3"}) {
    CAPTURE(name);
    const TempFolder folder;
    with_tokenizer(name, folder.text("in"));
    const GgufVocabulary vocabulary = tiny_vocabulary(folder.text("in"));
    folder_to_gguf(folder.text("in"), folder.text("m.gguf"), std::nullopt, vocabulary);
    gguf_to_folder(folder.text("m.gguf"), folder.text("out"), std::nullopt);
    const ModelConfig a = read_model_config(folder.text("in")), b = read_model_config(folder.text("out"));
    // llama.cpp has no mistral of its own and no sliding window for these: the context ends where the window
    // does.
    CHECK(b.family == (name == "mistral" ? "llama" : a.family));
    CHECK(b.max_positions == (a.sliding_window > 0 ? a.sliding_window : a.max_positions));
    CHECK(b.sliding_window == 0);
    CHECK(a.rope.type == b.rope.type);
    CHECK(a.rope.theta == b.rope.theta);
    CHECK(a.tied == b.tied);
    // The tokenizer's own end token comes first, then all that the model ends at.
    CHECK(b.eos_ids == join_ids({*vocabulary.eos}, a.eos_ids));
    check_same_weights(folder.text("in"), folder.text("out"));
    Json left = read_json_file(folder.text("in/tokenizer.json")),
         right = read_json_file(folder.text("out/tokenizer.json"));
    CHECK(left["model"]["merges"] == right["model"]["merges"]);
    CHECK(left["added_tokens"] == right["added_tokens"]);
    CHECK(left["pre_tokenizer"] == right["pre_tokenizer"]);
    CHECK(left["post_processor"] == right["post_processor"]);
  }
}

TEST_CASE("gguf export: a SentencePiece-like tokenizer.json keeps its merge order through scores") {
  const TempFolder folder;
  gguf_to_folder(golden("gguf/qwen3.gguf"), folder.text("in"), std::nullopt);
  folder_to_gguf(folder.text("in"), folder.text("m.gguf"), at::kHalf, tiny_vocabulary(folder.text("in")));
  const GgufFile file(folder.text("m.gguf"));
  CHECK(file.text("tokenizer.ggml.model") == "llama");
  CHECK(file.boolean("tokenizer.ggml.add_space_prefix"));
  CHECK(file.integer("tokenizer.ggml.bos_token_id") == 1);
  CHECK((file.find("blk.0.attn_q.weight")->type == GgmlType::kF16));
  CHECK((file.find("blk.0.attn_q_norm.weight")->type == GgmlType::kF32));
  gguf_to_folder(folder.text("m.gguf"), folder.text("out"), std::nullopt);
  CHECK(read_json_file(folder.text("in/tokenizer.json"))["model"]["merges"] ==
        read_json_file(folder.text("out/tokenizer.json"))["model"]["merges"]);
}

TEST_CASE("gguf import: what does not fit is refused before anything is written") {
  const uint32_t kU32 = 4, kF32 = 6;
  CHECK(has(gguf_refusal(raw<uint64_t>(5) + "llama", raw<uint64_t>(5) + "gemma"), "gemma"));
  CHECK(has(gguf_refusal(raw<uint64_t>(4) + "gpt2", raw<uint64_t>(4) + "bert"), "bert"));
  CHECK(has(gguf_refusal(raw<uint64_t>(9) + "llama-bpe", raw<uint64_t>(9) + "llama-xyz"),
            "expected one of the pre-tokenizers gpt-2, smollm, llama-bpe"));
  CHECK(has(gguf_refusal("llama.block_count", "llama.block_kount"), "llama.block_count is missing"));
  CHECK(has(gguf_refusal(entry("llama.block_count", kU32, raw<uint32_t>(2)),
                         entry("llama.block_count", kU32, raw<uint32_t>(3))),
            "blk.2.attn_q.weight is missing"));
  CHECK(has(gguf_refusal(entry("llama.block_count", kU32, raw<uint32_t>(2)),
                         entry("llama.block_count", kU32, raw<uint32_t>(1))),
            "does not have: blk.1."));
  CHECK(has(gguf_refusal(entry("llama.block_count", kU32, raw<uint32_t>(2)),
                         entry("llama.block_count", kU32, raw<uint32_t>(4000000000))),
            "num_hidden_layers"));
  CHECK(has(gguf_refusal(entry("llama.attention.head_count", kU32, raw<uint32_t>(4)),
                         entry("llama.attention.head_count", kU32, raw<uint32_t>(0))),
            "num_attention_heads"));
  CHECK(has(gguf_refusal(entry("llama.attention.head_count", kU32, raw<uint32_t>(4)),
                         entry("llama.attention.head_count", kF32, raw<uint32_t>(4))),
            "expected an integer"));
  CHECK(has(gguf_refusal(entry("llama.embedding_length", kU32, raw<uint32_t>(32)),
                         entry("llama.embedding_length", kU32, raw<uint32_t>(31))),
            "expected shape"));
  CHECK(has(gguf_refusal("tokenizer.ggml.bos_token_id" + raw<uint32_t>(4) + raw<uint32_t>(1),
                         "tokenizer.ggml.bos_token_id" + raw<uint32_t>(4) + raw<uint32_t>(119)),
            "below 119"));
  CHECK(has(gguf_refusal("filler17", "filler18"), "stands twice"));
  CHECK(has(gguf_refusal("filler17", "\xff\xfeller17"), "not UTF-8"));
  CHECK(has(gguf_refusal(raw<uint64_t>(3) + "a a", raw<uint64_t>(3) + "aaa"), "two pieces with a space"));
  CHECK(has(gguf_refusal("linear", "lunear"), "lunear"));
}

TEST_CASE("gguf export: the tokenizer's end comes first, one of the model's further ends behind it") {
  const TempFolder folder;
  with_tokenizer("smollm", folder.text("in"));
  auto ids = [&](std::optional<int64_t> own, const Json& model) {
    std::ofstream(folder.text("in/generation_config.json")) << Json{{"eos_token_id", model}};
    GgufVocabulary v = vocabulary_from_folder(folder.text("in"));
    v.eos = own;
    fs::remove(folder.text("m.gguf"));
    folder_to_gguf(folder.text("in"), folder.text("m.gguf"), std::nullopt, v);
    const GgufFile file(folder.text("m.gguf"));
    std::vector<int64_t> out;
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
      if (file.has(key)) out.push_back(file.integer(key));
    }
    return out;
  };
  using Ids = std::vector<int64_t>;
  CHECK(ids(2, {0, 2}) == Ids{2, 0});
  CHECK(ids(2, 2) == Ids{2});
  CHECK(ids(std::nullopt, {0, 2}) == Ids{0, 2});
  CHECK(ids(std::nullopt, 5) == Ids{5});
}

TEST_CASE("gguf: pre-tokenizers by llama.cpp's names, and the names of tokenizer.json's steps") {
  for (const PreTokenizer& pre : pre_tokenizers()) {
    CAPTURE(pre.name);
    CHECK(find_pre_tokenizer(pre.name) == &pre);
    for (const auto& form : pre.forms) CHECK(find_pre_tokenizer(form, pre.nfc, pre.ignore_merges) == &pre);
  }
  CHECK(find_pre_tokenizer("olmo")->name == "mpt");
  CHECK(find_pre_tokenizer("smaug-bpe")->name == "dbrx");
  CHECK(find_pre_tokenizer("roberta-bpe") == nullptr);
  CHECK(find_pre_tokenizer({"x"}, false, false) == nullptr);

  // A file of each name comes back under it.
  for (const PreTokenizer& pre : pre_tokenizers()) {
    CAPTURE(pre.name);
    const TempFolder folder;
    GgufVocabulary v;
    v.model = "gpt2";
    v.pre = pre.name;
    v.tokens = {"a", "b", "ab"};
    v.types = {1, 1, 1};
    v.merges = {"a b"};
    std::ofstream(folder.text("tokenizer.json")) << tokenizer_json(v, "here");
    CHECK(vocabulary_from_folder(folder.text()).pre == pre.name);
  }
  // The families' own spellings of the same steps.
  auto named = [](const char* steps) {
    const TempFolder folder;
    std::ofstream(folder.text("tokenizer.json"))
        << R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "Sequence",
           "pretokenizers": [)"
        << steps << "]}}";
    return vocabulary_from_folder(folder.text()).pre;
  };
  const std::string bytes =
      R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": )";
  CHECK(named((R"({"type": "Punctuation", "behavior": "Contiguous"}, )" + bytes +
               R"(true}, {"type": "Digits", "individual_digits": false},
                  {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": false})")
                  .c_str()) == "falcon");
  CHECK(named((R"({"type": "Split", "pattern": {"Regex": "[\r\n]"}, "behavior": "Isolated", "invert": false},
      {"type": "Split", "pattern": {"Regex": "\\s?\\p{L}+"}, "behavior": "Isolated", "invert": false},
      {"type": "Split", "pattern": {"Regex": "\\s?\\p{P}+"}, "behavior": "Isolated", "invert": false},
      {"type": "Split", "pattern": {"Regex": "[一-龥ࠀ-一가-퟿]+"}, "behavior": "Isolated", "invert": false},
      {"type": "Digits", "individual_digits": true}, )" +
               bytes + "false}")
                  .c_str()) == "deepseek-coder");
  CHECK_THROWS_AS(named(R"({"type": "Whitespace"})"), UserError);
}

TEST_CASE("convert: another dtype, the same everything else") {
  const TempFolder folder;
  with_tokenizer("smollm", folder.text("in"));
  std::ofstream(folder.text("in/chat_template.jinja")) << "x";
  std::ofstream(folder.text("in/junk.bin")) << "x";
  cast_folder(folder.text("in"), folder.text("out"), at::kFloat);
  check_same_weights(folder.text("in"), folder.text("out"));
  CHECK((SafetensorsFolder(folder.text("out")).find("model.norm.weight")->dtype == at::kFloat));
  CHECK(read_json_file(folder.text("out/config.json"))["torch_dtype"] == "float32");
  CHECK(read_file(folder.text("out/tokenizer.json")) == read_file(folder.text("in/tokenizer.json")));
  CHECK(fs::exists(folder.text("out/chat_template.jinja")));
  CHECK_FALSE(fs::exists(folder.text("out/junk.bin")));
  CHECK_THROWS_AS(weight_dtype("int8"), UserError);
}

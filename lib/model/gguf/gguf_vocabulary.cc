#include "model/gguf/gguf_vocabulary.h"

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"

namespace temper {
namespace {

std::optional<int64_t> token_id(const GgufFile& file, const std::string& key, size_t tokens) {
  if (!file.has(key)) return std::nullopt;
  const int64_t id = file.integer(key);
  if (id < 0 || id >= static_cast<int64_t>(tokens))
    user_error("{}: {}: expected a token id below {}, found {}", file.path(), key, tokens, id);
  return id;
}

}  // namespace

GgufVocabulary read_gguf_vocabulary(const GgufFile& file) {
  const std::string prefix = "tokenizer.ggml.";
  GgufVocabulary v;
  v.model = file.text(prefix + "model");
  if (v.model != "gpt2" && v.model != "llama" && v.model != "gemma4") {
    user_error(
        "{}: {}model: expected \"gpt2\" (byte-level BPE), \"llama\" (SentencePiece) or \"gemma4\", found "
        "\"{}\"",
        file.path(), prefix, v.model.substr(0, 60));
  }
  const auto tokens = file.texts(prefix + "tokens");
  if (tokens.empty() || tokens.size() > kMaxTokens)
    user_error("{}: {}tokens: expected 1 to {} tokens, found {}", file.path(), prefix, kMaxTokens,
               tokens.size());
  v.tokens.assign(tokens.begin(), tokens.end());
  v.types.assign(tokens.size(), GgufVocabulary::kNormal);
  if (file.has(prefix + "token_type")) {
    const auto types = file.integers(prefix + "token_type");
    if (types.size() != tokens.size())
      user_error("{}: {}token_type: expected {} entries, found {}", file.path(), prefix, tokens.size(),
                 types.size());
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] < GgufVocabulary::kNormal || types[i] > GgufVocabulary::kByte) {
        user_error("{}: {}token_type: token {}: expected 1 to 6, found {}", file.path(), prefix, i, types[i]);
      }
      v.types[i] = static_cast<int32_t>(types[i]);
    }
  }
  const PreTokenizer* pre = nullptr;
  if (v.model == "gpt2") {
    // Old files name none; llama.cpp then takes its default, and warns.
    v.pre = file.has(prefix + "pre") ? file.text(prefix + "pre") : "default";
    if (!file.has(prefix + "pre")) {
      log_warning(
          "{}: {}pre is missing; the text is split by llama.cpp's default, which may not be the model's own",
          file.path(), prefix);
    }
    pre = find_pre_tokenizer(v.pre);
    if (pre == nullptr) {
      user_error("{}: {}pre: expected one of the pre-tokenizers {}, found \"{}\"", file.path(), prefix,
                 pre_tokenizer_names(), v.pre.substr(0, 60));
    }
    v.pre = pre->name;
  }
  if (v.model != "llama") {
    const auto merges = file.texts(prefix + "merges");
    v.merges.assign(merges.begin(), merges.end());
  } else {
    for (const double score : file.numbers(prefix + "scores")) v.scores.push_back(static_cast<float>(score));
    if (v.scores.size() != tokens.size())
      user_error("{}: {}scores: expected {} entries, found {}", file.path(), prefix, tokens.size(),
                 v.scores.size());
  }
  v.bos = token_id(file, prefix + "bos_token_id", tokens.size());
  v.eos = token_id(file, prefix + "eos_token_id", tokens.size());
  v.eot = token_id(file, prefix + "eot_token_id", tokens.size());
  v.eom = token_id(file, prefix + "eom_token_id", tokens.size());
  v.unk = token_id(file, prefix + "unknown_token_id", tokens.size());
  v.pad = token_id(file, prefix + "padding_token_id", tokens.size());
  if (v.model == "llama" && !v.unk) v.unk = 0;  // llama.cpp's default
  auto flag = [&](const char* key, bool missing) {
    return file.has(prefix + key) ? file.boolean(prefix + key) : missing;
  };
  v.add_bos = flag("add_bos_token", pre == nullptr || pre->adds_bos);
  v.add_eos = flag("add_eos_token", false);
  v.add_space_prefix = flag("add_space_prefix", v.model == "llama");
  if (file.has("tokenizer.chat_template")) v.chat_template = file.text("tokenizer.chat_template");
  return v;
}

void write_gguf_vocabulary(const GgufVocabulary& v, GgufWriter& writer) {
  const std::string prefix = "tokenizer.ggml.";
  writer.text(prefix + "model", v.model);
  // Gemma 4's is in llama.cpp's code.
  if (v.model != "gemma4") writer.text(prefix + "pre", v.model == "gpt2" ? v.pre : "default");
  writer.texts(prefix + "tokens", v.tokens);
  if (!v.scores.empty()) writer.f32s(prefix + "scores", v.scores);
  writer.i32s(prefix + "token_type", v.types);
  if (v.model != "llama") writer.texts(prefix + "merges", v.merges);
  auto id = [&](const char* key, const std::optional<int64_t>& value) {
    if (value) writer.u32(prefix + key, static_cast<uint32_t>(*value));
  };
  id("bos_token_id", v.bos);
  id("eos_token_id", v.eos);
  id("eot_token_id", v.eot);
  id("eom_token_id", v.eom);
  id("unknown_token_id", v.unk);
  id("padding_token_id", v.pad);
  writer.boolean(prefix + "add_bos_token", v.add_bos);
  writer.boolean(prefix + "add_eos_token", v.add_eos);
  writer.boolean(prefix + "add_space_prefix", v.add_space_prefix && v.model == "llama");
  if (!v.chat_template.empty()) writer.text("tokenizer.chat_template", v.chat_template);
}

}  // namespace temper

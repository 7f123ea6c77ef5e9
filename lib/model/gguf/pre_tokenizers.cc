// The pre-tokenizers of byte-level BPE that llama.cpp knows by name.
#include <algorithm>
#include <map>

#include "model/gguf/gguf_vocabulary.h"

namespace temper {
namespace {

// The expressions are those of the families' own tokenizer.json, where llama.cpp's are adapted to its engine.
const std::string kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kKana = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
const std::string kCjk = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
const std::string kCased =
    "\\s?["
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
    "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"
    "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
    "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102"
    "\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
    "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
    "]+";
const std::string kDeepseekMarks = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+";
const std::string kWords = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+";

using Forms = std::vector<std::vector<std::string>>;

}  // namespace

const std::vector<PreTokenizer>& pre_tokenizers() {
  const std::string digit = PreTokenizer::kDigit, digits = PreTokenizer::kDigits;
  static const std::vector<PreTokenizer> table = {
      {"gpt-2", Forms{{kGpt2}}, false, false, false},
      {"smollm", Forms{{digit, kGpt2}}, false, false, false},
      {"llama-bpe", Forms{{kLlama3}}, false, true, true},
      {"dbrx", Forms{{kLlama3}}, false, false, false},
      {"qwen2", Forms{{kQwen2}}, true, false, false},
      {"qwen35", Forms{{kQwen35}}, false, false, false},
      {"tekken", Forms{{kTekken}}, false, true, true},
      {"gpt-4o", Forms{{kGpt4o}}, false, false, false},
      {"deepseek-llm",
       Forms{{"[\\r\\n]", kCased, kDeepseekMarks, "\\s+$", kCjk, digit},
             {"[\\r\\n]", kCased, kDeepseekMarks, "\\s+$", kCjk, digits}},
       false, false, false},
      {"deepseek-coder", Forms{{"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kCjk, digit}}, false, false, false},
      {"deepseek-v3", Forms{{"\\p{N}{1,3}", kKana, kDeepseek3}}, false, false, false},
      {"falcon",
       Forms{{"[\\p{P}\\$\\+<=>\\^~\\|`]+", kGpt2, "[0-9][0-9][0-9]"},
             {PreTokenizer::kMarks, kGpt2, digits, "[0-9][0-9][0-9]"}},
       false, false, false},
      // Another name than gpt-2's, because its tokenizers compose characters first.
      {"mpt", Forms{{kGpt2}}, true, false, false},
      {"command-r", Forms{{digit, kGpt2}}, true, false, false},
      {"seed-coder", Forms{{kSeedCoder}}, false, false, false},
      {"poro-chat", Forms{{kWords}}, false, false, false},
      {"viking", Forms{{kWords, digit}}, false, false, false},
      {"default", Forms{{"[\\p{P}\\$\\+<=>\\^~\\|]+", kGpt2, digits, "[0-9][0-9][0-9]"}}, false, false,
       false},
  };
  return table;
}

const PreTokenizer* find_pre_tokenizer(const std::string& name) {
  static const std::map<std::string, std::string> aliases = {
      {"phi-2", "gpt-2"},           {"gigachat", "gpt-2"},         {"a.x-4.0", "gpt-2"},
      {"mellum", "gpt-2"},          {"exaone4", "gpt-2"},          {"jais", "gpt-2"},
      {"trillion", "gpt-2"},        {"granite-docling", "gpt-2"},  {"olmo", "mpt"},
      {"starcoder", "smollm"},      {"refact", "smollm"},          {"codeshell", "smollm"},
      {"exaone", "smollm"},         {"minerva-7b", "smollm"},      {"mellum2", "smollm"},
      {"llama3", "llama-bpe"},      {"llama-v3", "llama-bpe"},     {"falcon3", "llama-bpe"},
      {"falcon-h1", "llama-bpe"},   {"pixtral", "llama-bpe"},      {"midm-2.0", "llama-bpe"},
      {"lfm2", "llama-bpe"},        {"smaug-bpe", "dbrx"},         {"glm4", "dbrx"},
      {"chatglm-bpe", "dbrx"},      {"deepseek-r1-qwen", "qwen2"}, {"kormo", "qwen2"},
      {"megrez", "qwen2"},          {"stablelm2", "qwen2"},        {"hunyuan", "qwen2"},
      {"solar-open", "qwen2"},      {"grok-2", "qwen2"},           {"llama4", "gpt-4o"},
      {"kanana2", "gpt-4o"},        {"minimax-m2", "gpt-4o"},      {"hunyuan-dense", "deepseek-v3"},
      {"joyai-llm", "deepseek-v3"}, {"bloom", "poro-chat"},        {"gpt3-finnish", "poro-chat"}};
  const auto alias = aliases.find(name);
  for (const PreTokenizer& pre : pre_tokenizers()) {
    if (pre.name == (alias == aliases.end() ? name : alias->second)) return &pre;
  }
  return nullptr;
}

const PreTokenizer* find_pre_tokenizer(const std::vector<std::string>& steps, bool nfc, bool ignore_merges) {
  const PreTokenizer* best = nullptr;
  int best_score = -1;
  for (const PreTokenizer& pre : pre_tokenizers()) {
    if (std::find(pre.forms.begin(), pre.forms.end(), steps) == pre.forms.end()) continue;
    // llama.cpp takes ignore_merges from the name, and never composes.
    const int score = 2 * (pre.ignore_merges == ignore_merges) + (pre.nfc == nfc);
    if (score > best_score) best = &pre;
    best_score = std::max(best_score, score);
  }
  return best;
}

std::string pre_tokenizer_names() {
  std::string names;
  for (const PreTokenizer& pre : pre_tokenizers())
    names += (names.empty() ? "" : ", ") + std::string(pre.name);
  return names;
}

}  // namespace temper

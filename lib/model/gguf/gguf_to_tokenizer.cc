// GGUF's token tables -> tokenizer.json and tokenizer_config.json.
#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"
#include "model/gguf/gguf_vocabulary.h"

namespace temper {
namespace {

using Type = GgufVocabulary::Type;

// A JSON string; the file's bytes must be UTF-8.
std::string quoted(std::string_view text, const std::string& where) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    user_error("{}: a token or a merge of the tokenizer is not UTF-8", where);
  }
}

bool is_added(int32_t type) {
  return type == Type::kUnknown || type == Type::kControl || type == Type::kUserDefined;
}

// How many ids belong to the model's own vocabulary: added tokens that follow it without a gap are told to
// the tokenizer apart, as Hugging Face's files do; it counts on from the vocabulary's size.
size_t own_tokens(const GgufVocabulary& v) {
  size_t end = v.tokens.size();
  while (end > 0 && v.types[end - 1] == Type::kUnused) --end;
  if (v.model != "gpt2") return end;
  size_t own = end;
  while (own > 0 && is_added(v.types[own - 1])) --own;
  return own > 0 && v.types[own - 1] == Type::kUnused ? end : own;
}

struct Merge {
  std::string_view left, right;
  float score;
  size_t left_length, right_length;  // in characters
};

// The merges that a SentencePiece model implies: every piece can be made of two others, the best score first;
// the order of ties is that of transformers' converter.
std::vector<Merge> merges_from_scores(const GgufVocabulary& v, const std::string& where) {
  std::unordered_map<std::string_view, int64_t> ids;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (v.types[i] != Type::kControl && v.types[i] != Type::kUnknown)
      ids.emplace(v.tokens[i], static_cast<int64_t>(i));
  }
  std::vector<Merge> merges;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (v.types[i] != Type::kNormal) continue;
    const std::string_view piece = v.tokens[i];
    if (piece.size() > 1024)
      user_error("{}: tokenizer.ggml.tokens: token {} is {} bytes long", where, i, piece.size());
    auto starts_character = [&](size_t at) { return (piece[at] & 0xc0) != 0x80; };
    size_t length = 0;
    for (size_t at = 0; at < piece.size(); ++at) length += starts_character(at);
    const size_t first = merges.size();
    size_t left_length = 0;
    for (size_t at = 1; at < piece.size(); ++at) {
      left_length += starts_character(at);
      if (!starts_character(at)) continue;
      const auto left = piece.substr(0, at), right = piece.substr(at);
      if (ids.count(left) && ids.count(right))
        merges.push_back({left, right, v.scores[i], left_length, length - left_length});
    }
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end(),
              [&](const Merge& a, const Merge& b) {
                return std::make_pair(ids[a.left], ids[a.right]) < std::make_pair(ids[b.left], ids[b.right]);
              });
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::make_tuple(a.score, a.left_length, a.right_length) >
           std::make_tuple(b.score, b.left_length, b.right_length);
  });
  return merges;
}

Json added_token(const GgufVocabulary& v, size_t id) {
  return {{"id", id},
          {"content", v.tokens[id]},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", false},
          {"normalized", false},
          {"special", v.types[id] != Type::kUserDefined}};
}

Json post_processor(const GgufVocabulary& v) {
  const bool bos = v.add_bos && v.bos, eos = v.add_eos && v.eos;
  if (!bos && !eos) return nullptr;
  Json single = Json::array(), pair = Json::array(), special = Json::object();
  auto put = [&](Json& list, int64_t id, int type) {
    const std::string& token = v.tokens[static_cast<size_t>(id)];
    list.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
    special[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
  };
  if (bos) put(single, *v.bos, 0);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  if (eos) put(single, *v.eos, 0);
  pair = single;
  if (bos) put(pair, *v.bos, 1);
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  if (eos) put(pair, *v.eos, 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

Json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json pre_tokenizer_json(const PreTokenizer& pre) {
  Json list = Json::array();
  const std::vector<std::string>& steps = pre.forms.front();
  const std::string gpt2 = find_pre_tokenizer("gpt-2")->forms.front().front();
  for (const std::string& step : steps) {
    if (step == gpt2 && &step == &steps.back()) break;  // the byte level's own
    if (step == PreTokenizer::kDigit || step == PreTokenizer::kDigits) {
      list.push_back({{"type", "Digits"}, {"individual_digits", step == PreTokenizer::kDigit}});
    } else {
      list.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", step}}}, {"behavior", "Isolated"}, {"invert", false}});
    }
  }
  list.push_back(byte_level(steps.back() == gpt2));
  return {{"type", "Sequence"}, {"pretokenizers", list}};
}

struct Stages {
  Json normalizer, pre_tokenizer, decoder;
  bool byte_fallback = false, ignore_merges = false;
};

Stages stages(const GgufVocabulary& v) {
  Stages s;
  if (v.model == "gpt2") {
    const PreTokenizer& pre = *find_pre_tokenizer(v.pre);
    if (pre.nfc) s.normalizer = {{"type", "NFC"}};
    s.pre_tokenizer = pre_tokenizer_json(pre);
    s.decoder = byte_level(true);
    s.ignore_merges = pre.ignore_merges;
    return s;
  }
  const char* const space = "\xe2\x96\x81";
  Json normalizers = Json::array();
  if (v.add_space_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", space}});
  normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space}});
  s.normalizer = {{"type", "Sequence"}, {"normalizers", normalizers}};
  Json decoders = Json::array({{{"type", "Replace"}, {"pattern", {{"String", space}}}, {"content", " "}},
                               {{"type", "ByteFallback"}},
                               {{"type", "Fuse"}}});
  if (v.add_space_prefix)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  s.decoder = {{"type", "Sequence"}, {"decoders", decoders}};
  s.byte_fallback = std::find(v.types.begin(), v.types.end(), Type::kByte) != v.types.end();
  return s;
}

}  // namespace

std::string tokenizer_json(const GgufVocabulary& v, const std::string& where) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& token : v.tokens) {
    quoted(token, where);  // checks it: all that follows may name any of them
    if (!seen.insert(token).second)
      user_error("{}: tokenizer.ggml.tokens: {} stands twice", where, quoted(token.substr(0, 100), where));
  }
  const size_t own = own_tokens(v);
  const Stages s = stages(v);
  const std::string unk =
      v.model != "gpt2" && v.unk ? quoted(v.tokens[static_cast<size_t>(*v.unk)], where) : "null";
  auto section = [](const char* name, const Json& value) {
    return fmt::format("  \"{}\": {},\n", name, value.dump());
  };

  std::string out =
      "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  const char* separator = "\n";
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (!is_added(v.types[i])) continue;
    out += std::string(separator) + "    " + added_token(v, i).dump();
    separator = ",\n";
  }
  out += "\n  ],\n" + section("normalizer", s.normalizer) + section("pre_tokenizer", s.pre_tokenizer) +
         section("post_processor", post_processor(v)) + section("decoder", s.decoder);
  out += fmt::format(
      "  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": {},\n    "
      "\"continuing_subword_prefix\": null,\n"
      "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": {},\n    \"byte_fallback\": {},\n    "
      "\"ignore_merges\": {},\n    \"vocab\": {{",
      unk, s.byte_fallback, s.byte_fallback, s.ignore_merges);
  separator = "\n";
  for (size_t i = 0; i < own; ++i) {
    out += fmt::format("{}      {}: {}", separator, quoted(v.tokens[i], where), i);
    separator = ",\n";
  }
  out += "\n    },\n    \"merges\": [";
  separator = "\n";
  auto merge = [&](std::string_view left, std::string_view right) {
    out += fmt::format("{}      [{}, {}]", separator, quoted(left, where), quoted(right, where));
    separator = ",\n";
  };
  for (const std::string& text : v.model == "llama" ? std::vector<std::string>{} : v.merges) {
    const size_t space = text.find(' ', 1);
    if (space == std::string::npos || space + 1 == text.size()) {
      user_error("{}: tokenizer.ggml.merges: expected two pieces with a space between, found {}", where,
                 quoted(text.substr(0, 100), where));
    }
    merge(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1));
  }
  if (v.model == "llama") {
    for (const Merge& m : merges_from_scores(v, where)) merge(m.left, m.right);
  }
  return out + "\n    ]\n  }\n}\n";
}

Json tokenizer_config_json(const GgufVocabulary& v, int64_t context_length) {
  Json j;
  j["tokenizer_class"] = "PreTrainedTokenizerFast";
  j["add_bos_token"] = v.add_bos && v.bos.has_value();
  j["add_eos_token"] = v.add_eos && v.eos.has_value();
  auto token = [&](const char* key, const std::optional<int64_t>& id) {
    if (id) j[key] = v.tokens[static_cast<size_t>(*id)];
  };
  token("bos_token", v.bos);
  token("eos_token", v.eos);
  token("pad_token", v.pad);
  token("unk_token", v.unk);
  j["clean_up_tokenization_spaces"] = false;
  j["model_max_length"] = context_length;
  if (!v.chat_template.empty()) j["chat_template"] = v.chat_template;
  return j;
}

}  // namespace temper

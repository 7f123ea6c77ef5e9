// tokenizer.json -> GGUF's token tables.
#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/gguf/gguf_vocabulary.h"

namespace temper {
namespace {

using Type = GgufVocabulary::Type;
using Sorted = nlohmann::json;  // a vocabulary of 150,000 keys would be slow to build in file order

Sorted read_sorted(const std::string& path) {
  try {
    return Sorted::parse(read_file(path));
  } catch (const Sorted::exception& e) {
    user_error("{}: not valid JSON: {}", path, std::string(e.what()).substr(0, 160));
  }
}

const Sorted* get(const Sorted& j, const char* key) {
  if (!j.is_object()) return nullptr;
  const auto it = j.find(key);
  return it == j.end() || it->is_null() ? nullptr : &*it;
}

bool is(const Sorted& j, const char* key, const char* text) {
  const Sorted* value = get(j, key);
  return value != nullptr && *value == text;
}

// The steps of a normalizer or pre-tokenizer, sequences laid flat.
void flatten(const Sorted& step, const char* key, std::vector<Sorted>& out) {
  if (is(step, "type", "Sequence")) {
    const Sorted* list = get(step, key);
    if (list != nullptr && list->is_array()) {
      for (const Sorted& inner : *list) flatten(inner, key, out);
    }
  } else if (step.is_object()) {
    out.push_back(step);
  }
}

std::vector<Sorted> steps(const Sorted& file, const char* stage, const char* key) {
  std::vector<Sorted> out;
  if (const Sorted* step = get(file, stage)) flatten(*step, key, out);
  return out;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// The steps in the terms of PreTokenizer; empty when GGUF has none for one of them. Line ends stand in the
// families' expressions as characters or as escapes.
std::vector<std::string> split_steps(const std::vector<Sorted>& found) {
  std::vector<std::string> out;
  bool bytes = false;
  for (const Sorted& step : found) {
    if (is(step, "type", "Digits")) {
      const Sorted* each = get(step, "individual_digits");
      out.push_back(each != nullptr && *each == true ? PreTokenizer::kDigit : PreTokenizer::kDigits);
    } else if (is(step, "type", "Punctuation") && is(step, "behavior", "Contiguous")) {
      out.push_back(PreTokenizer::kMarks);
    } else if (is(step, "type", "Split") && is(step, "behavior", "Isolated")) {
      const Sorted* pattern = get(step, "pattern");
      const Sorted* text = pattern == nullptr ? nullptr : get(*pattern, "Regex");
      if (text == nullptr || !text->is_string()) return {};
      std::string regex = text->get<std::string>();
      replace_all(regex, "\r", "\\r");
      replace_all(regex, "\n", "\\n");
      replace_all(regex, "\\\"", "\"");
      out.push_back(regex);
    } else if (is(step, "type", "ByteLevel")) {
      bytes = true;
      const Sorted *prefix = get(step, "add_prefix_space"), *split = get(step, "use_regex");
      if (prefix != nullptr && *prefix == true) return {};
      if (split == nullptr || *split == true) out.push_back(find_pre_tokenizer("gpt-2")->forms[0][0]);
    } else {
      return {};
    }
  }
  return bytes ? out : std::vector<std::string>{};
}

int64_t read_id(const Sorted& value, const std::string& where) {
  if (!value.is_number_integer() || value < 0 || value >= kMaxTokens) {
    user_error("{}: expected a token id from 0 to {}, found {}", where, kMaxTokens - 1,
               value.dump().substr(0, 40));
  }
  return value.get<int64_t>();
}

void put(GgufVocabulary& v, int64_t id, const std::string& token, Type type, const std::string& where) {
  const auto at = static_cast<size_t>(id);
  if (at >= v.tokens.size()) {
    v.tokens.resize(at + 1);
    v.types.resize(at + 1, Type::kUnused);
  }
  if (v.types[at] != Type::kUnused && v.tokens[at] != token)
    user_error("{}: two tokens have the id {}", where, id);
  v.tokens[at] = token;
  v.types[at] = type;
}

// "left right", from either spelling.
std::string merge_text(const Sorted& merge, const std::string& where) {
  if (merge.is_string()) return merge.get<std::string>();
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) {
    user_error("{}: model.merges: expected pairs of pieces, found {}", where,
               merge.dump(-1, ' ', false, Sorted::error_handler_t::replace).substr(0, 60));
  }
  const std::string left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
  if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos) {
    user_error("{}: model.merges: GGUF cannot hold pieces with spaces", where);
  }
  return left + " " + right;
}

}  // namespace

GgufVocabulary vocabulary_from_folder(const std::string& folder) {
  const std::string path = folder + "/tokenizer.json";
  const Sorted file = read_sorted(path);
  const Sorted* model = get(file, "model");
  const Sorted* vocab = model == nullptr ? nullptr : get(*model, "vocab");
  const Sorted* merges = model == nullptr ? nullptr : get(*model, "merges");
  if (vocab == nullptr || !vocab->is_object() || merges == nullptr || !merges->is_array()) {
    user_error("{}: expected a BPE model with vocab and merges", path);
  }
  GgufVocabulary v;
  const bool fallback = get(*model, "byte_fallback") != nullptr && *get(*model, "byte_fallback") == true;
  v.model = fallback ? "llama" : "gpt2";
  for (const auto& [token, id] : vocab->items()) {
    const bool byte = fallback && token.size() == 6 && token.starts_with("<0x") && token.back() == '>';
    put(v, read_id(id, path + ": model.vocab"), token, byte ? Type::kByte : Type::kNormal, path);
  }
  if (const Sorted* added = get(file, "added_tokens"); added != nullptr && added->is_array()) {
    for (const Sorted& entry : *added) {
      const Sorted *id = get(entry, "id"), *content = get(entry, "content"), *special = get(entry, "special");
      if (id == nullptr || content == nullptr || !content->is_string())
        user_error("{}: added_tokens: expected id and content", path);
      const bool control = special != nullptr && *special == true;
      put(v, read_id(*id, path + ": added_tokens"), content->get<std::string>(),
          control ? Type::kControl : Type::kUserDefined, path);
    }
  }
  if (v.tokens.size() > 2 * (vocab->size() + 65536))
    user_error("{}: the ids leave gaps: {} tokens up to id {}", path, vocab->size(), v.tokens.size() - 1);
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (v.types[i] == Type::kUnused) v.tokens[i] = fmt::format("[PAD{}]", i);
  }
  if (v.model == "gpt2") {
    const auto normalizers = steps(file, "normalizer", "normalizers");
    const bool nfc = std::any_of(normalizers.begin(), normalizers.end(),
                                 [](const Sorted& step) { return is(step, "type", "NFC"); });
    const Sorted* ignore = get(*model, "ignore_merges");
    const PreTokenizer* pre = find_pre_tokenizer(split_steps(steps(file, "pre_tokenizer", "pretokenizers")),
                                                 nfc, ignore != nullptr && *ignore == true);
    if (pre == nullptr)
      user_error("{}: pre_tokenizer: GGUF has no name for it among {}", path, pre_tokenizer_names());
    v.pre = pre->name;
    for (const Sorted& merge : *merges) v.merges.push_back(merge_text(merge, path));
  } else {
    // llama.cpp merges the pair whose piece has the best score: the rank of the first merge that makes it.
    std::unordered_map<std::string, size_t> rank;
    for (const Sorted& merge : *merges) {
      const std::string text = merge_text(merge, path);
      const size_t space = text.find(' ', 1);
      if (space == std::string::npos) user_error("{}: model.merges: expected pairs of pieces", path);
      rank.emplace(text.substr(0, space) + text.substr(space + 1), rank.size());
      v.merges.push_back(text);
    }
    for (size_t i = 0; i < v.tokens.size(); ++i) {
      const auto it = rank.find(v.tokens[i]);
      v.scores.push_back(v.types[i] != Type::kNormal
                             ? 0.0f
                             : -static_cast<float>(it == rank.end() ? rank.size() : it->second));
    }
    v.add_space_prefix = false;
    for (const Sorted& step : steps(file, "normalizer", "normalizers"))
      v.add_space_prefix |= is(step, "type", "Prepend");
    for (const Sorted& step : steps(file, "pre_tokenizer", "pretokenizers")) {
      v.add_space_prefix |= is(step, "type", "Metaspace") && !is(step, "prepend_scheme", "never");
    }
    const Sorted* unk = get(*model, "unk_token");
    for (size_t i = 0; unk != nullptr && i < v.tokens.size(); ++i) {
      if (*unk != v.tokens[i]) continue;
      v.unk = static_cast<int64_t>(i);
      v.types[i] = Type::kUnknown;
    }
  }
  return v;
}

}  // namespace temper

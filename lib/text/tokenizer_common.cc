#include "text/tokenizer_common.h"

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {

NamedIds find_named_ids(const TokenizerFolder& folder, const Tokenizer& tokenizer) {
  const auto find = [&](const char* name) -> std::optional<int64_t> {
    const auto content = folder.named.find(name);
    if (content == folder.named.end()) return std::nullopt;
    const auto id = tokenizer.id(content->second);
    if (!id) {
      user_error(
          "{}: the {} \"{}\" of tokenizer_config.json or special_tokens_map.json is not in the vocabulary",
          folder.path, name, content->second);
    }
    return id;
  };
  return {find("bos_token"), find("eos_token"), find("pad_token")};
}

EncodeOptions repaired_options(std::string_view text, const EncodeOptions& options) {
  EncodeOptions moved = options;
  for (auto& [begin, end] : moved.plain) {
    begin = replace_invalid_utf8(text.substr(0, begin)).size();
    end = replace_invalid_utf8(text.substr(0, end)).size();
  }
  return moved;
}

}  // namespace temper

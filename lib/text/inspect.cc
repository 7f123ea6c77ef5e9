#include "text/inspect.h"

#include "base/error.h"
#include "base/json.h"

namespace temper {

Json inspect_tokenize(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  const std::vector<int64_t> ids = tokenizer.encode(text, options);
  Json pieces = Json::array();
  for (const int64_t id : ids) pieces.push_back(tokenizer.piece(id));
  Json line;
  line["ids"] = ids;
  line["pieces"] = std::move(pieces);
  line["decoded"] = tokenizer.decode(ids);
  return line;
}

Json inspect_behind(const Tokenizer& tokenizer, const ChatTemplate& chat, const Json& messages,
                    const Json& extra) {
  const auto assistant = [&](size_t i) {
    return messages[i].is_object() && messages[i].value("role", Json()) == "assistant";
  };
  Json out = Json::array();
  for (size_t i = 0; i + 1 < messages.size(); ++i) {
    if (!assistant(i) || assistant(i + 1)) continue;
    Json said = Json::array();
    for (size_t k = 0; k < messages.size() && (k <= i || !assistant(k)); ++k) said.push_back(messages[k]);
    Json row{{"message", i}};
    try {
      const std::vector<int64_t> ids = chat.encode_behind(tokenizer, said, i, extra);
      row["text"] = tokenizer.decode(ids, true);
      row["ids"] = ids;
    } catch (const UserError& e) {
      row["why"] = e.what();
    }
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace temper

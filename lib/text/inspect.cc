#include "text/inspect.h"

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

}  // namespace temper

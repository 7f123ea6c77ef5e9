#include "merge/examples.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "data/formats/format.h"
#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

std::vector<Example> read_examples(const std::string& folder, const ExampleFiles& from) {
  std::vector<Record> records = read_data(from.files);
  if (from.limit > 0 && records.size() > static_cast<size_t>(from.limit))
    records.resize(static_cast<size_t>(from.limit));
  const auto tokenizer = Tokenizer::load(folder);
  std::unique_ptr<ChatTemplate> chat;
  if (!tokenizer->chat_template().empty())
    chat = std::make_unique<ChatTemplate>(resolve_template(*tokenizer, "auto"));
  const RecordEncoder encoder(*tokenizer, chat.get(), {.max_tokens = from.max_tokens});
  std::vector<Example> out;
  for (const Record& record : records) {
    Example example;
    if (from.prompts && record_kind(record) == RecordKind::kPrompt) {
      example.ids = encoder.prompt(record);
      example.target.assign(example.ids.size(), true);
    } else {
      example = encoder.supervised(record);
    }
    if (example.ids.empty()) continue;
    if (std::find(example.target.begin() + 1, example.target.end(), true) != example.target.end())
      out.push_back(std::move(example));
  }
  if (out.empty()) user_error("{}: none of the {} records has a target", from.files.front(), records.size());
  return out;
}

}  // namespace temper

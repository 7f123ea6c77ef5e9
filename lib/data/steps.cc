// Records with several completions: whole answers to one prompt, or the steps of one answer.
#include "base/error.h"
#include "data/records.h"

namespace temper {

std::vector<Answer> RecordEncoder::answers(const Record& record) const {
  if (record_kind(record) != RecordKind::kStepwise)
    user_error("{}: expected \"prompt\", \"completions\" and \"labels\"", record.where());
  const bool chat = is_chat_column(record, "prompt");
  std::vector<Answer> out;
  for (const Json& completion : record.json["completions"]) {
    Record one = record;
    one.json.erase("completions");
    one.json.erase("labels");
    one.json["completion"] =
        chat ? Json::array({{{"role", "assistant"}, {"content", completion}}}) : completion;
    out.push_back(answer(one));
  }
  return out;
}

Steps RecordEncoder::steps(const Record& record, const std::vector<std::string>& steps,
                           const std::string& separator) const {
  if (steps.empty()) user_error("{}: there is no step", record.where());
  const std::vector<int64_t> between = encode_strings({separator}, false);
  Steps out;
  out.prompt = prompt(record);
  if (out.prompt.empty()) return {};  // dropped
  auto tokens = static_cast<int64_t>(out.prompt.size());
  for (const std::string& step : steps) {
    std::vector<int64_t> ids = encode_strings({step}, false);
    ids.insert(ids.end(), between.begin(), between.end());
    if (ids.empty()) user_error("{}: a step is empty", record.where());
    const int64_t end = tokens + static_cast<int64_t>(ids.size());
    if (end > settings_.max_tokens) {
      if (settings_.overlong == "drop") return {};
      if (settings_.overlong == "error") {
        user_error("{}: more than max_tokens {}; raise it or set overlong to \"truncate\" or \"drop\"",
                   record.where(), settings_.max_tokens);
      }
      if (out.ends.empty()) {
        user_error("{}: the first step ends behind max_tokens {}; raise it or set overlong to \"drop\"",
                   record.where(), settings_.max_tokens);
      }
      return out;
    }
    out.completion.insert(out.completion.end(), ids.begin(), ids.end());
    out.ends.push_back(end - 1);
    tokens = end;
  }
  return out;
}

}  // namespace temper

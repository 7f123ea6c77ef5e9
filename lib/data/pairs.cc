// Preference records: two answers to one prompt, or one answer with a label.
#include <algorithm>

#include "base/error.h"
#include "data/records.h"

namespace temper {
namespace {

// What chosen and rejected begin with alike, when no prompt is given: whole messages, or text up to the last
// shared space, as TRL's extract_prompt takes it.
struct Parts {
  Json prompt, chosen, rejected;
};

Parts split_chats(const Record& record, const Json& chosen, const Json& rejected) {
  size_t shared = 0;
  while (shared < chosen.size() && shared < rejected.size() && chosen[shared] == rejected[shared]) ++shared;
  if (shared == 0 || shared == chosen.size() || shared == rejected.size()) {
    user_error(
        "{}: \"chosen\" and \"rejected\" must begin with the same messages and end with different ones, "
        "or give \"prompt\"",
        record.where());
  }
  Parts out{Json::array(), Json::array(), Json::array()};
  for (size_t i = 0; i < shared; ++i) out.prompt.push_back(chosen[i]);
  for (size_t i = shared; i < chosen.size(); ++i) out.chosen.push_back(chosen[i]);
  for (size_t i = shared; i < rejected.size(); ++i) out.rejected.push_back(rejected[i]);
  return out;
}

Parts split_texts(const Record& record, const std::string& chosen, const std::string& rejected) {
  size_t shared = 0;
  while (shared < chosen.size() && shared < rejected.size() && chosen[shared] == rejected[shared]) ++shared;
  while (shared > 0 && (static_cast<unsigned char>(chosen[shared]) & 0xc0) == 0x80)
    --shared;  // whole characters
  if (shared > 0 && chosen[shared - 1] == ' ') --shared;
  if (shared == 0 || chosen == rejected) {
    user_error("{}: \"chosen\" and \"rejected\" must begin alike and end differently, or give \"prompt\"",
               record.where());
  }
  return {chosen.substr(0, shared), chosen.substr(shared), rejected.substr(shared)};
}

Parts parts_of(const Record& record) {
  const Json &chosen = record.json["chosen"], &rejected = record.json["rejected"];
  if (has_column(record.json, "prompt") &&
      is_chat_column(record, "prompt") == is_chat_column(record, "chosen"))
    return {record.json["prompt"], chosen, rejected};
  if (is_chat_column(record, "chosen") != is_chat_column(record, "rejected"))
    user_error("{}: \"chosen\" and \"rejected\" must both be text or both be messages", record.where());
  return is_chat_column(record, "chosen")
             ? split_chats(record, chosen, rejected)
             : split_texts(record, chosen.get<std::string>(), rejected.get<std::string>());
}

// Both answers begin where the first of them does, as in TRL: one may begin with what the generation prompt
// writes (an open <think>) and the other not.
void begin_alike(Answer& longer, const Answer& shorter) {
  const size_t n = shorter.prompt.size();
  if (n == 0 || longer.prompt.size() <= n || longer.completion.empty() || shorter.completion.empty() ||
      !std::equal(shorter.prompt.begin(), shorter.prompt.end(), longer.prompt.begin())) {
    return;
  }
  const auto own = longer.prompt.begin() + static_cast<std::ptrdiff_t>(n);
  longer.completion.insert(longer.completion.begin(), own, longer.prompt.end());
  longer.target.insert(longer.target.begin(), longer.prompt.size() - n, true);
  longer.prompt.resize(n);
}

}  // namespace

bool is_unfinished(const Record& record, const char* answer) {
  const auto list = record.json.find("unfinished");
  return list != record.json.end() && list->is_array() &&
         std::find(list->begin(), list->end(), answer) != list->end();
}

void drop_end(std::vector<int64_t>& ids, std::vector<bool>& target, const Tokenizer& tokenizer) {
  size_t last = target.size();
  while (last > 0 && !target[last - 1]) --last;
  if (last == 0 || !tokenizer.is_special(ids[last - 1])) return;
  ids.resize(last - 1);
  target.resize(last - 1);
}

Json preference_prompt(const Record& record) {
  return parts_of(record).prompt;
}

Answer RecordEncoder::answer(const Record& record) const {
  const Example e = supervised(record);
  const auto begin = static_cast<std::ptrdiff_t>(e.prompt_tokens);
  Answer out;
  out.prompt.assign(e.ids.begin(), e.ids.begin() + begin);
  out.completion.assign(e.ids.begin() + begin, e.ids.end());
  out.target.assign(e.target.begin() + begin, e.target.end());
  // Nothing stands before the first token of an empty prompt's answer, so nothing predicts it.
  if (out.prompt.empty() && !out.target.empty()) out.target[0] = false;
  return out;
}

std::vector<Answer> RecordEncoder::demonstrations(const Record& record) const {
  const Json& j = record.json;
  const bool list = has_column(j, "demonstrations");
  if (list && !j["demonstrations"].is_array())
    user_error("{}: demonstrations: expected a list of completions, found {}", record.where(),
               j["demonstrations"].type_name());
  if (!list && !has_column(j, "completion"))
    user_error("{}: expected a \"completion\" or a list \"demonstrations\" to show", record.where());
  std::vector<Answer> out;
  for (const Json& shown : list ? j["demonstrations"] : Json::array({j["completion"]})) {
    Record one = record;
    one.json.erase("demonstrations");
    one.json["completion"] = shown;
    Answer answer = this->answer(one);
    if (!answer.completion.empty()) out.push_back(std::move(answer));
  }
  return out;
}

std::pair<Answer, Answer> RecordEncoder::preference(const Record& record) const {
  if (record_kind(record) != RecordKind::kPreference)
    user_error("{}: comparing answers needs \"chosen\" and \"rejected\"", record.where());
  const Parts parts = parts_of(record);
  const auto with = [&](const Json& completion) {
    Record one = record;
    one.json.erase("chosen");
    one.json.erase("rejected");
    one.json["prompt"] = parts.prompt;
    one.json["completion"] = completion;
    return answer(one);
  };
  std::pair<Answer, Answer> out = {with(parts.chosen), with(parts.rejected)};
  begin_alike(out.first, out.second);
  begin_alike(out.second, out.first);
  for (const auto& [side, answer] : {std::pair{"chosen", &out.first}, {"rejected", &out.second}}) {
    if (is_unfinished(record, side)) drop_end(answer->completion, answer->target, tokenizer_);
  }
  return out;
}

std::pair<Answer, bool> RecordEncoder::unpaired(const Record& record) const {
  if (record_kind(record) != RecordKind::kUnpaired)
    user_error("{}: labelled answers need \"prompt\", \"completion\" and \"label\"", record.where());
  const bool desirable = *truth(record.json["label"]);
  Record one = record;
  one.json.erase("label");
  return {answer(one), desirable};
}

}  // namespace temper

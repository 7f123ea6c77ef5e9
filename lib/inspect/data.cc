// A file of data as it was understood.
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "data/formats/format.h"
#include "inspect/inspect.h"
#include "text/template.h"
#include "train/sections.h"

namespace temper {
namespace {

constexpr size_t kShown = 3;

const char* name_of(RecordKind kind) {
  switch (kind) {
    case RecordKind::kText:
      return "text";
    case RecordKind::kPromptCompletion:
      return "prompt and completion";
    case RecordKind::kMessages:
      return "messages";
    case RecordKind::kPreference:
      return "preference";
    case RecordKind::kPrompt:
      return "prompt";
    case RecordKind::kUnpaired:
      return "labelled completion";
    case RecordKind::kStepwise:
      return "steps";
    case RecordKind::kTokens:
      return "token ids";
  }
  bug("a kind without a name");
}

Json shown_tokens(const Tokenizer& tokenizer, const std::vector<int64_t>& ids,
                  const std::vector<bool>& learnt) {
  Json pieces = Json::array(), marks = Json::array();
  for (const int64_t id : ids) pieces.push_back(tokenizer.piece(id));
  for (const bool mark : learnt) marks.push_back(mark ? 1 : 0);
  return {{"ids", ids}, {"pieces", pieces}, {"learnt", marks}};
}

Json shown_answer(const Tokenizer& tokenizer, const Answer& answer) {
  std::vector<int64_t> ids = answer.prompt;
  ids.insert(ids.end(), answer.completion.begin(), answer.completion.end());
  std::vector<bool> learnt(answer.prompt.size(), false);
  learnt.insert(learnt.end(), answer.target.begin(), answer.target.end());
  return shown_tokens(tokenizer, ids, learnt);
}

Json tokens_of(const Record& record, RecordKind kind, const Tokenizer& tokenizer,
               const RecordEncoder& encoder) {
  if (kind == RecordKind::kPreference) {
    const auto [chosen, rejected] = encoder.preference(record);
    return {{"chosen", shown_answer(tokenizer, chosen)}, {"rejected", shown_answer(tokenizer, rejected)}};
  }
  if (kind == RecordKind::kUnpaired)
    return {{"completion", shown_answer(tokenizer, encoder.unpaired(record).first)}};
  if (kind == RecordKind::kStepwise) {
    Json out = Json::object();
    for (const Answer& answer : encoder.answers(record))
      out[fmt::format("completions.{}", out.size())] = shown_answer(tokenizer, answer);
    return out;
  }
  if (kind == RecordKind::kPrompt) {
    const std::vector<int64_t> ids = encoder.prompt(record);
    return {{"prompt", shown_tokens(tokenizer, ids, std::vector<bool>(ids.size(), false))}};
  }
  const Example example = encoder.supervised(record);
  return {{"example", shown_tokens(tokenizer, example.ids, example.target)}};
}

}  // namespace

Json inspect_data(const std::string& file, const std::string& model, const Json& sets) {
  Json options = Json::object();
  for (const auto& [path, value] : sets.items()) {
    const size_t dot = path.find('.');
    if (dot == std::string::npos) {
      options[path] = value;
      continue;
    }
    Json& section = options[path.substr(0, dot)];
    if (!section.is_null() && !section.is_object())
      user_error("--set {}: {} has no fields of its own", path, path.substr(0, dot));
    section[path.substr(dot + 1)] = value;
  }
  options["train"] = {file};
  DataSection data;
  read_fields(data, options, "data", ".");

  std::vector<Record> read = read_records({file});
  const size_t all = read.size();
  const auto files = apply_format(read, data.format);  // several of a folder
  const ToldFormat& told = files.begin()->second;
  size_t left_out = 0;
  for (const auto& [name, of_file] : files) left_out += of_file.left_out;
  Records records = std::move(read);
  data.adapt(records);
  Json out = {{"file", file},         {"records", all},
              {"left_out", left_out}, {"format", told.format->name},
              {"why", told.why},      {"first", Json::array()}};
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat;
  std::unique_ptr<RecordEncoder> encoder;
  if (!model.empty()) {
    tokenizer = Tokenizer::load(model);
    if (data.chat_template != "auto" || !tokenizer->chat_template().empty())
      chat = std::make_unique<ChatTemplate>(resolve_template(*tokenizer, data.chat_template));
    encoder = std::make_unique<RecordEncoder>(*tokenizer, chat.get(), data.encoding());
  }
  for (const Record& record : records) {
    if (out["first"].size() == kShown) break;
    const RecordKind kind = record_kind(record);
    Json row = {{"line", record.line}, {"kind", name_of(kind)}, {"record", record.json}};
    if (encoder != nullptr) row["tokens"] = tokens_of(record, kind, *tokenizer, *encoder);
    out["first"].push_back(std::move(row));
  }
  return out;
}

}  // namespace temper

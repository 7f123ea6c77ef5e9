#include "reward/stored.h"

#include <algorithm>

#include "base/error.h"
#include "data/groups.h"
#include "data/segments.h"
#include "reward/shaping.h"

namespace temper {
namespace {

const char* const kScores[] = {"reward",       "rewards",         "reward_parts", "reward_transformed",
                               "reward_texts", "reward_outcomes", "segments"};

// The texts of an answer, whole or in segments, and what stands behind their items.
struct StoredTexts {
  Record answer;
  std::string prompt;
  std::vector<std::string> texts;
  std::vector<std::vector<int64_t>> ids;  // of each text; none where nobody can tell
  bool counted = false;                   // there are ids
};

std::vector<Record> stored_answers(const Record& record) {
  if (is_group(record) || record_kind(record) != RecordKind::kText) return answers_of(record);
  Record out = record;
  out.json["prompt"] = "";
  out.json["completion"] = record.json["text"];
  return {std::move(out)};
}

std::string asked_text(const Record& answer) {
  Record asked{Json::object(), answer.file, answer.line};
  asked.json["completion"] = answer.json["prompt"];
  return answer_text(asked);
}

// The answer's own tokens; nothing where it has none.
std::optional<std::vector<int64_t>> stored_ids(const Record& answer) {
  if (!has_column(answer.json, "completion_ids")) return std::nullopt;
  const Json& ids = answer.json["completion_ids"];
  const auto integer = [](const Json& id) { return id.is_number_integer(); };
  if (!ids.is_array() || !std::all_of(ids.begin(), ids.end(), integer))
    user_error("{}: completion_ids: expected a list of token ids", answer.where());
  return ids.get<std::vector<int64_t>>();
}

StoredTexts scored_texts(Record answer, const StoredScoring& how) {
  StoredTexts out{std::move(answer), "", {}, {}};
  out.prompt = asked_text(out.answer);
  if (has_column(out.answer.json, "conversation")) is_chat_column(out.answer, "conversation");
  const std::string text = answer_text(out.answer);
  if (how.segments.empty()) {
    out.texts = {text};
    if (auto ids = stored_ids(out.answer)) out.ids = {std::move(*ids)};
  } else {
    out.texts = split_text(text, how.segments);
  }
  if (out.ids.empty() && how.tokenizer != nullptr) {
    for (const std::string& part : out.texts) out.ids.push_back(how.tokenizer->encode(part));
  }
  out.counted = !out.ids.empty() || out.texts.empty();
  return out;
}

// The policy's tokens: of a conversation those of its turns.
int64_t policy_tokens(const Record& answer, const std::vector<int64_t>& ids) {
  if (!has_column(answer.json, "turns")) return static_cast<int64_t>(ids.size());
  int64_t out = 0;
  for (const Json& turn : answer.json["turns"]) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_number_integer() || !turn[1].is_number_integer())
      user_error("{}: turns: expected [[begin, end], ...]", answer.where());
    out += turn[1].get<int64_t>() - turn[0].get<int64_t>();
  }
  return out;
}

RewardItem item_of(const StoredTexts& scored, size_t i, bool whole) {
  const Json& columns = scored.answer.json;
  RewardItem item{scored.prompt, scored.texts[i], scored.texts[i], &columns};
  if (!scored.ids.empty()) {
    item.ids = &scored.ids[i];
    item.tokens =
        whole ? policy_tokens(scored.answer, scored.ids[i]) : static_cast<int64_t>(scored.ids[i].size());
  }
  item.truncated = whole && is_unfinished(scored.answer, "completion");
  if (whole && has_column(columns, "conversation")) item.conversation = &columns["conversation"];
  return item;
}

// What the scores of an answer add to its line.
Json columns_of(const RewardSet& rewards, const StoredTexts& scored,
                std::vector<ScoredItem>::const_iterator scores, bool whole) {
  Json out = Json::object();
  if (whole) {
    write_scores(out, rewards.names(), *scores);
    return out;
  }
  out["segments"] = Json::array();
  for (const std::string& text : scored.texts)
    out["segments"].push_back({{"text", text}, {"reward", number_or_null((scores++)->total)}});
  return out;
}

}  // namespace

bool counts_tokens(const RewardEntry& entry) {
  const RewardOptions* options = entry.options.get();
  const auto* repetition = dynamic_cast<const RepetitionOptions*>(options);
  return dynamic_cast<const CosineOptions*>(options) != nullptr ||
         dynamic_cast<const OverlongOptions*>(options) != nullptr ||
         (repetition != nullptr && repetition->unit == "tokens");
}

std::vector<Json> score_stored(RewardSet& rewards, const std::vector<Record>& records,
                               const StoredScoring& how, const std::function<void()>& on_wait) {
  const bool whole = how.segments.empty();
  std::vector<std::vector<StoredTexts>> all;
  for (const Record& record : records) {
    all.emplace_back();
    for (Record& answer : stored_answers(record)) all.back().push_back(scored_texts(std::move(answer), how));
    const auto uncounted = [](const StoredTexts& texts) { return !texts.counted; };
    if (how.counts_tokens && std::any_of(all.back().begin(), all.back().end(), uncounted)) {
      user_error(
          "{}: a reward counts tokens, and the line has no \"completion_ids\"; give --model, whose tokenizer "
          "counts them",
          record.where());
    }
  }
  std::vector<RewardItem> items;
  for (const auto& answers : all) {
    for (const StoredTexts& scored : answers) {
      for (size_t i = 0; i < scored.texts.size(); ++i) items.push_back(item_of(scored, i, whole));
    }
  }
  const std::vector<ScoredItem> scores = rewards.score(items, on_wait);
  auto next = scores.begin();
  std::vector<Json> out;
  for (size_t r = 0; r < records.size(); ++r) {
    std::vector<Json> of_record;
    for (const StoredTexts& scored : all[r]) {
      of_record.push_back(columns_of(rewards, scored, next, whole));
      next += static_cast<std::ptrdiff_t>(scored.texts.size());
    }
    Json line = records[r].json;
    for (const char* key : kScores) line.erase(key);
    line.update(is_group(records[r]) ? packed(of_record) : of_record[0]);
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace temper

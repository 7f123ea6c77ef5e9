#include "task/sft/rewards.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "data/segments.h"

namespace temper {
namespace {

// The last targets that stand together, [begin, end).
std::pair<int64_t, int64_t> learnt_last(const Example& example) {
  auto end = static_cast<int64_t>(example.target.size());
  while (end > 0 && !example.target[static_cast<size_t>(end - 1)]) --end;
  int64_t begin = end;
  while (begin > 0 && example.target[static_cast<size_t>(begin - 1)]) --begin;
  return {begin, end};
}

}  // namespace

bool in_segments(const Record& record, const std::string& column) {
  return has_column(record.json, column) && record.json[column].is_array();
}

std::vector<std::optional<double>> segment_rewards(const Record& record, const std::string& column,
                                                   const std::string& who) {
  std::vector<std::optional<double>> out;
  for (const Json& segment : record.json[column]) {
    const bool form = segment.is_object() && segment.contains("text") && segment["text"].is_string() &&
                      segment.contains("reward");
    const bool null = form && segment["reward"].is_null();
    const bool number =
        form && segment["reward"].is_number() && std::isfinite(segment["reward"].get<double>());
    if (!null && !number) {
      user_error("{}: \"{}\": {} needs segments like {{\"text\": ..., \"reward\": number or null}}, found {}",
                 record.where(), column, who, dump_line(segment).substr(0, 60));
    }
    out.push_back(null ? std::nullopt : std::optional(segment["reward"].get<double>()));
  }
  return out;
}

std::vector<RewardedRun> segment_runs(const Tokenizer& tokenizer, const Record& record,
                                      const Example& example, const std::string& column,
                                      const std::string& who) {
  const auto rewards = segment_rewards(record, column, who);
  std::vector<std::string> texts;
  for (const Json& segment : record.json[column]) texts.push_back(segment["text"].get<std::string>());
  std::vector<RewardedRun> out;
  const auto [begin, end] = learnt_last(example);
  if (texts.empty() || begin == end) return out;
  const std::vector<int64_t> learnt(example.ids.begin() + begin, example.ids.begin() + end);
  const std::vector<int64_t> last = segment_ends(tokenizer, learnt, texts, record.where());
  int64_t at = begin;
  for (size_t k = 0; k < last.size(); ++k) {
    const int64_t behind = begin + last[k] + 1;
    if (behind <= at) continue;
    out.push_back({at, behind, rewards[k]});
    at = behind;
  }
  out.back().end = end;  // the end token
  return out;
}

bool set_rewards(const Tokenizer& tokenizer, const Record& record, const std::string& column,
                 const std::string& who, RewardedExample& example) {
  if (!in_segments(record, column)) {
    example.reward.assign(example.ids.size(), number_column(record, column, who));
    return true;
  }
  example.reward.assign(example.ids.size(), 0.0);
  // Of several assistant turns only the last was scored.
  const auto begin = static_cast<size_t>(learnt_last(example).first);
  std::fill_n(example.target.begin(), begin, false);
  std::vector<RewardedRun> runs = segment_runs(tokenizer, record, example, column, who);
  if (runs.empty()) std::fill(example.target.begin(), example.target.end(), false);
  for (const RewardedRun& run : runs) {
    const auto first = static_cast<size_t>(run.begin), count = static_cast<size_t>(run.end - run.begin);
    if (run.reward)
      std::fill_n(example.reward.begin() + run.begin, count, *run.reward);
    else
      std::fill_n(example.target.begin() + static_cast<std::ptrdiff_t>(first), count, false);
  }
  return std::find(example.target.begin(), example.target.end(), true) != example.target.end();
}

}  // namespace temper

#include "reward/remote/http_reward.h"

#include <algorithm>

#include "base/error.h"
#include "reward/item_json.h"

namespace temper {
namespace {

class HttpReward : public Reward {
 public:
  explicit HttpReward(const HttpRewardOptions& o)
      : calls_(o.remote, "http"), batch_size_(static_cast<size_t>(o.batch_size)) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<ItemAnswer> answers(items.size());
    const int64_t first_id = next_id_;
    next_id_ += static_cast<int64_t>(items.size());
    const auto body = [&](size_t batch) {
      Json list = Json::array();
      for (size_t i = batch * batch_size_; i < end_of(batch, items); ++i)
        list.push_back(item_json(first_id + static_cast<int64_t>(i), items[i]));
      return dump_line({{"items", std::move(list)}});
    };
    calls_.post((items.size() + batch_size_ - 1) / batch_size_, body,
                [&](size_t batch, const std::string* text) {
                  const size_t begin = batch * batch_size_, end = end_of(batch, items);
                  const bool answered = text != nullptr && read(*text, first_id, begin, end, answers);
                  for (size_t i = begin; i < end; ++i) calls_.scored(!answers[i].score.value);
                  return answered;
                });
    std::vector<Score> scores;
    for (ItemAnswer& answer : answers) scores.push_back(std::move(answer.score));
    return scores;
  }

  bool each_alone() const override { return true; }
  bool external() const override { return true; }
  void interrupt() override { calls_.interrupt(); }
  std::map<std::string, int64_t> counters() const override { return calls_.counters(); }

 private:
  size_t end_of(size_t batch, const std::vector<RewardItem>& items) const {
    return std::min((batch + 1) * batch_size_, items.size());
  }

  // The answer's items, into `answers` at [begin, end). False: it had none that was right.
  bool read(const std::string& text, int64_t first_id, size_t begin, size_t end,
            std::vector<ItemAnswer>& answers) {
    bool nan = false;
    std::vector<ItemAnswer> found;
    try {
      found = read_http_answer(text, nan);
    } catch (const UserError&) {
      calls_.malformed("no JSON {\"items\": [{\"id\", \"score\"}, ...]}: " + calls_.quoted(text));
      return false;
    }
    if (nan) calls_.malformed("NaN or Infinity, which JSON has not, in " + calls_.quoted(text));
    size_t right = 0;
    for (ItemAnswer& one : found) {
      const int64_t at = one.id.value_or(-1) - first_id;
      const bool known = one.id && at >= static_cast<int64_t>(begin) && at < static_cast<int64_t>(end);
      ItemAnswer* item = known ? &answers[static_cast<size_t>(at)] : nullptr;
      if (item == nullptr || item->id || !one.valid) {
        calls_.malformed(fmt::format("an item {} in {}",
                                     item == nullptr ? "that was not asked for"
                                     : item->id      ? "a second time"
                                                     : "without a score that is a number or null",
                                     calls_.quoted(text)));
        continue;
      }
      *item = std::move(one);
      ++right;
    }
    if (right < end - begin && right == found.size())
      calls_.malformed(
          fmt::format("{} items for {} that were asked in {}", right, end - begin, calls_.quoted(text)));
    return right > 0 || begin == end;
  }

  RemoteCalls calls_;
  size_t batch_size_;
  int64_t next_id_ = 0;
};

}  // namespace

std::vector<ItemAnswer> read_http_answer(const std::string& text, bool& nan) {
  const Json json = parse_outside_json(text, nan);
  if (!json.is_object() || !json.contains("items") || !json["items"].is_array())
    user_error("expected {{\"items\": [{{\"id\", \"score\"}}, ...]}}");
  std::vector<ItemAnswer> out;
  for (const Json& item : json["items"]) out.push_back(read_item_answer(item));
  return out;
}

void HttpRewardOptions::fields(FieldVisitor& v) {
  v.field("url", remote.http.url,
          {.help = "where to POST {\"items\": [{\"id\", \"prompt\", \"completion\", \"raw_completion\", "
                   "\"tokens\", \"truncated\", ...the record's columns}, ...]}; the answer is {\"items\": "
                   "[{\"id\", \"score\"}, ...]} with a number or null for each, from that item alone",
           .required = true});
  v.field("batch_size", batch_size, {.help = "items of one request at most", .min = 1});
  remote.fields(v);
}

void HttpRewardOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  remote.check(problems, where);
}

std::unique_ptr<Reward> HttpRewardOptions::make() const {
  return std::make_unique<HttpReward>(*this);
}

}  // namespace temper

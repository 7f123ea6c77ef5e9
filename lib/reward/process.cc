#include "reward/process.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "reward/child_process.h"
#include "reward/item_json.h"
#include "reward/null_share.h"

namespace temper {
namespace {

constexpr int64_t kSilentTimeouts = 5;                // time-outs of a program that never gave an answer
constexpr std::chrono::milliseconds kAttention(100);  // between looks at whether the run goes on

std::chrono::nanoseconds seconds(double s) {
  return std::chrono::nanoseconds(static_cast<int64_t>(s * 1e9));
}

std::string request_line(int64_t id, const RewardItem& item) {
  return dump_line(item_json(id, item)) + "\n";
}

ItemAnswer read_answer_line(const std::string& line) {
  try {
    bool nan = false;
    return read_item_answer(parse_outside_json(line, nan));
  } catch (const UserError&) {
    return {};
  }
}

class Process : public Reward {
 public:
  explicit Process(const ProcessOptions& o)
      : command_(o.command),
        timeout_(seconds(o.timeout_s)),
        start_timeout_(seconds(std::max(o.start_timeout_s, o.timeout_s))),
        null_share_(o.fail_share) {
    start();
  }

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    Batch batch;
    batch.items = &items;
    batch.scores.resize(items.size());
    batch.failures.resize(items.size(), 0);
    for (size_t i = 0; i < items.size(); ++i) batch.to_send.push_back(i);
    if (!child_) start();
    while (batch.done < items.size()) {
      for (; !batch.to_send.empty(); batch.to_send.pop_front()) send(batch, batch.to_send.front());
      std::vector<std::string> lines;
      const bool alive = child_->pump(std::min(deadline(), ChildProcess::Clock::now() + kAttention), lines);
      if (interrupted_) user_error("reward process \"{}\": interrupted", command_line());
      for (const std::string& line : lines) accept(batch, line);
      if (!alive)
        restart(batch, false);
      else if (batch.done < items.size() && ChildProcess::Clock::now() >= deadline())
        restart(batch, true);
    }
    return batch.scores;
  }

  bool each_alone() const override { return true; }
  bool external() const override { return true; }
  void interrupt() override { interrupted_ = true; }
  std::map<std::string, int64_t> counters() const override {
    return {{"timeouts", timeouts_}, {"restarts", restarts_}, {"malformed", malformed_}, {"nulls", nulls_}};
  }

 private:
  struct Batch {
    const std::vector<RewardItem>* items;
    std::vector<Score> scores;
    std::vector<int> failures;
    std::deque<size_t> to_send;
    std::map<int64_t, size_t> waiting;  // id -> item, in the order they were sent
    size_t done = 0;
  };

  void start() {
    child_ = std::make_unique<ChildProcess>(command_);
    answered_since_start_ = false;
    progress_ = ChildProcess::Clock::now();
  }

  ChildProcess::Clock::time_point deadline() const {
    return progress_ + (answered_since_start_ ? timeout_ : start_timeout_);
  }

  void send(Batch& batch, size_t item) {
    if (batch.waiting.empty()) progress_ = ChildProcess::Clock::now();
    batch.waiting.emplace(next_id_, item);
    child_->send(request_line(next_id_++, (*batch.items)[item]));
  }

  void accept(Batch& batch, const std::string& line) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) return;
    const ItemAnswer answer = read_answer_line(line);
    const auto waiting = answer.id ? batch.waiting.find(*answer.id) : batch.waiting.end();
    if (waiting == batch.waiting.end() || !answer.valid) {
      ++malformed_;
      last_malformed_ = line.substr(0, 200);
    }
    if (waiting == batch.waiting.end()) return;
    const size_t item = waiting->second;
    batch.waiting.erase(waiting);
    answered_since_start_ = answered_ = true;
    progress_ = ChildProcess::Clock::now();
    if (answer.valid)
      finish(batch, item, answer.score);
    else
      fail(batch, item);
  }

  void fail(Batch& batch, size_t item) {
    if (++batch.failures[item] == 1)
      batch.to_send.push_front(item);
    else
      finish(batch, item, std::nullopt);
  }

  void finish(Batch& batch, size_t item, const Score& score) {
    batch.scores[item] = score;
    ++batch.done;
    nulls_ += score.value ? 0 : 1;
    if (const auto why = null_share_.add(!score.value)) give_up(*why);
  }

  [[noreturn]] void give_up(const std::string& reason) {
    std::string why = fmt::format(
        "reward process \"{}\": {}; so far {} time-outs, {} restarts, {} lines that were no answer",
        command_line(), reason, timeouts_, restarts_, malformed_);
    if (!last_end_.empty()) why += "; it last " + last_end_;
    if (!last_malformed_.empty()) why += "; a line that was no answer: " + one_line(last_malformed_);
    const std::string& errors = child_ && !child_->error_tail().empty() ? child_->error_tail() : last_errors_;
    if (!errors.empty()) why += "; its standard error ends: " + one_line(errors);
    child_.reset();
    throw UserError(why);
  }

  // The program has ended or hangs: the item that waited longest failed, the rest are sent again.
  void restart(Batch& batch, bool timed_out) {
    const std::string how = child_->kill();
    last_end_ = timed_out ? "gave no answer in time (see timeout_s and start_timeout_s)" : how;
    if (!child_->error_tail().empty()) last_errors_ = child_->error_tail();
    child_.reset();
    ++restarts_;
    timeouts_ += timed_out ? 1 : 0;
    if (!answered_ && timeouts_ >= kSilentTimeouts) give_up("it has never given an answer");
    std::deque<size_t> again;
    for (const auto& [id, item] : batch.waiting) again.push_back(item);
    batch.waiting.clear();
    again.insert(again.end(), batch.to_send.begin(), batch.to_send.end());
    batch.to_send = again;
    if (!batch.to_send.empty()) {
      const size_t blamed = batch.to_send.front();
      batch.to_send.pop_front();
      fail(batch, blamed);
    }
    start();
  }

  std::string command_line() const {
    std::string out;
    for (const std::string& part : command_) out += (out.empty() ? "" : " ") + part;
    return one_line(out);
  }
  static std::string one_line(std::string text) {
    if (text.size() > 1000) text = "..." + text.substr(text.size() - 1000);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    for (size_t at; (at = text.find('\n')) != std::string::npos;) text.replace(at, 1, " | ");
    return text;
  }

  std::vector<std::string> command_;
  std::chrono::nanoseconds timeout_, start_timeout_;
  NullShare null_share_;
  std::unique_ptr<ChildProcess> child_;
  bool answered_since_start_ = false, answered_ = false;
  std::atomic<bool> interrupted_ = false;  // by another thread, for good
  ChildProcess::Clock::time_point
      progress_;  // the last answer, or when the program was given something to do
  int64_t next_id_ = 0;
  int64_t timeouts_ = 0, restarts_ = 0, malformed_ = 0, nulls_ = 0;
  std::string last_end_, last_errors_, last_malformed_;
};

}  // namespace

void ProcessOptions::fields(FieldVisitor& v) {
  v.field("command", command, {.help = "the program and its arguments; started once in the working folder"});
  v.field("timeout_s", timeout_s,
          {.help = "longest time without an answer", .unit = "s", .min = 0.001, .max = 86400});
  v.field("start_timeout_s", start_timeout_s,
          {.help = "longest time from a start to the first answer, when above timeout_s",
           .unit = "s",
           .min = 0,
           .max = 86400});
  v.field("fail_share", fail_share,
          {.help = "the run stops when more than this share of the last 100 scores (at least 20) is null",
           .min = 0,
           .max = 1});
}

void ProcessOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (command.empty() || command[0].empty()) {
    problems.push_back(
        where + ".command: missing; expected a program and its arguments, as [\"python3\", \"reward.py\"]");
  } else if (command.size() == 1 && command[0].find(' ') != std::string::npos && !fs::exists(command[0])) {
    problems.push_back(
        fmt::format("{}.command: no program \"{}\"; its arguments are strings of their own, as [\"python3\", "
                    "\"reward.py\"]",
                    where, command[0]));
  }
}

std::unique_ptr<Reward> ProcessOptions::make() const {
  return std::make_unique<Process>(*this);
}

}  // namespace temper

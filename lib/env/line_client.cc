#include "env/line_client.h"

#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "reward/item_json.h"

namespace temper {
namespace {

using Clock = ChildProcess::Clock;
constexpr int64_t kSilentLives = 5;                 // starts without an answer, after which it is given up
constexpr std::chrono::milliseconds kAttention(5);  // within which a new question is sent

}  // namespace

LineClient::LineClient(std::vector<std::string> command, double timeout_s, double start_timeout_s,
                       Other other)
    : command_(std::move(command)),
      timeout_(timeout_s),
      start_timeout_(std::max(timeout_s, start_timeout_s)),
      other_(std::move(other)) {
  start();
}

std::string LineClient::name() const {
  std::string out;
  for (const std::string& word : command_) out += (out.empty() ? "" : " ") + word;
  return "\"" + out + "\"";
}

void LineClient::start() {
  child_ = std::make_unique<ChildProcess>(command_);
  ++life_;
  answered_ = overdue_ = false;
  late_ = 0;
  outgoing_.clear();
}

int64_t LineClient::life() {
  const std::lock_guard lock(mutex_);
  if (!child_) start();
  return life_;
}

void LineClient::end(const std::string& how) {
  last_end_ = how;
  const std::string tail = child_->error_tail();
  if (!tail.empty()) last_end_ += "; it wrote: " + tail.substr(tail.size() > 400 ? tail.size() - 400 : 0);
  child_.reset();
  silent_lives_ = answered_ ? 0 : silent_lives_ + 1;
}

void LineClient::tell(Json body, int64_t life) {
  const std::lock_guard lock(mutex_);
  if (child_ && life == life_) outgoing_ += dump_line(body) + "\n";
}

std::optional<Json> LineClient::ask(Json body, int64_t life) {
  std::unique_lock lock(mutex_);
  if (silent_lives_ >= kSilentLives)
    user_error("{} ended {} times without an answer: it {}", name(), kSilentLives, last_end_);
  if (life >= 0 && (!child_ || life != life_)) return std::nullopt;
  if (!child_) start();
  const int64_t asked_in = life_, id = next_id_++;
  Json line = {{"id", id}};
  line.update(body);
  outgoing_ += dump_line(line) + "\n";
  answers_[id];
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(answered_ ? timeout_ : start_timeout_);
  std::optional<Json> out;
  while (!out && child_ && life_ == asked_in && !interrupted_) {
    if (answers_[id]) {
      out = std::move(answers_[id]);
    } else if (Clock::now() >= deadline) {
      // One late answer costs its conversation alone; a second one before any other has come means silence.
      overdue_ = ++late_ > 1 || !answered_;
      if (overdue_ && !pumping_) end(fmt::format("gave no answer for {} s", timeout_.count()));
      break;
    } else if (pumping_) {
      changed_.wait_for(lock, kAttention);
    } else {
      pump(lock);
    }
  }
  answers_.erase(id);
  changed_.notify_all();
  if (interrupted_) user_error("{}: interrupted", name());
  return out;
}

// This thread moves the bytes for all, for a moment.
void LineClient::pump(std::unique_lock<std::mutex>& lock) {
  pumping_ = true;
  child_->send(outgoing_);
  outgoing_.clear();
  ChildProcess& child = *child_;
  lock.unlock();
  std::vector<std::string> lines;
  const bool alive = child.pump(Clock::now() + kAttention, lines);
  lock.lock();
  pumping_ = false;
  for (const std::string& text : lines) hear(text);
  if (!alive) {
    const std::string how = child_->kill();
    end(how);
  } else if (overdue_) {
    end(fmt::format("gave no answer for {} s", timeout_.count()));
  }
  changed_.notify_all();
}

void LineClient::hear(const std::string& text) {
  Json json;
  try {
    bool nan = false;
    json = parse_outside_json(text, nan);
    if (nan && json.is_object())
      json = {{"id", json.value("id", Json())}, {"error", "a number that is none"}};
  } catch (const UserError&) {
    return;  // a print() of the program's; nobody has asked for it
  }
  if (other_ && json.is_object() && json.contains("method")) {
    const Json back = other_(json);
    if (!back.is_null()) outgoing_ += dump_line(back) + "\n";
    return;
  }
  if (!json.is_object() || !json.contains("id") || !json["id"].is_number_integer()) return;
  const auto open = answers_.find(json["id"].get<int64_t>());
  if (open == answers_.end()) return;
  open->second = std::move(json);
  answered_ = true;
  late_ = 0;
}

}  // namespace temper

#include "env/external_environment.h"

#include <atomic>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "env/http_counterpart.h"
#include "env/line_client.h"
#include "reward/null_share.h"

namespace temper {
namespace {

// How conversations ended of late.
class Failures {
 public:
  Failures(double share, std::string who) : share_(share), who_(std::move(who)) {}
  // Throws UserError when too many have failed.
  void count(bool failed, const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (failed) why_ = why;
    if (share_.add(failed))
      user_error("environment {}: too many of its last conversations failed, the last one because {}", who_,
                 why_);
  }

 private:
  std::mutex mutex_;
  NullShare share_;
  std::string who_, why_;
};

Json reset_of(const Record& record, uint64_t seed) {
  return {{"seed", seed >> 11}, {"columns", record.json}};  // 53 bits, which any reader of JSON keeps
}

// The messages of an answer; none: they are not as they should be.
std::optional<std::vector<Json>> messages_of(const Json& answer) {
  std::vector<Json> out;
  const Json messages = answer.value("messages", Json::array());
  if (!messages.is_array()) return std::nullopt;
  for (const Json& message : messages) {
    const bool sound = message.is_object() && message.contains("role") && message["role"].is_string() &&
                       message.contains("content") && message["content"].is_string();
    if (!sound) return std::nullopt;
    out.push_back(message);
  }
  return out;
}

// last: it need not say how the conversation goes on.
std::optional<Reply> reply_of(const Json& answer, bool last) {
  Reply out;
  const auto messages = messages_of(answer);
  if (!messages) return std::nullopt;
  out.messages = *messages;
  const Json over = answer.value("over", Json(false)), reward = answer.value("reward", Json()),
             state = answer.value("state", Json("")), figures = answer.value("figures", Json::object());
  if (!over.is_boolean() || !state.is_string() || !figures.is_object()) return std::nullopt;
  if (!reward.is_null() && !reward.is_number()) return std::nullopt;
  out.over = over.get<bool>();
  out.state = state.get<std::string>();
  if (reward.is_number()) out.reward = reward.get<double>();
  if (out.reward && !std::isfinite(*out.reward)) return std::nullopt;
  for (const auto& [name, value] : figures.items()) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) return std::nullopt;
    out.figures[name] = value.get<double>();
  }
  if (!out.over && !last && out.messages.empty()) return std::nullopt;
  return out;
}

class ExternalEnvironment : public Environment {
 public:
  ExternalEnvironment(Counterpart& client, Failures& failures, int64_t number, Json reset)
      : client_(client), failures_(failures), number_(number), reset_(std::move(reset)) {}
  ~ExternalEnvironment() override {
    if (life_ >= 0) client_.tell({{"conversation", number_}, {"close", true}}, life_);
  }

  Reply reply(const PolicyTurn& turn) override {
    if (life_ < 0) {
      const int64_t life = client_.life();
      if (!client_.ask({{"conversation", number_}, {"reset", reset_}}, life))
        return failed("it did not answer a reset");
      life_ = life;
    }
    const Json step{{"text", turn.text},
                    {"raw_text", turn.raw_text},
                    {"truncated", turn.finish == FinishReason::kLength},
                    {"last", turn.last}};
    return hear({{"step", step}}, turn.last);
  }
  Reply cut() override { return hear({{"cut", true}}, true); }

 private:
  // The answer to a question in this conversation. last: what it says to the policy is not read.
  Reply hear(Json question, bool last) {
    Json line = {{"conversation", number_}};
    line.update(question);
    const auto answer = client_.ask(std::move(line), life_);
    if (!answer) return failed("no answer came in time, or it is gone");
    auto reply = reply_of(*answer, last);
    if (!reply) return failed("an answer was not as expected: " + dump_line(*answer).substr(0, 200));
    if (reply->over || last) failures_.count(false, "");
    return std::move(*reply);
  }
  Reply failed(const std::string& why) {
    failures_.count(true, why);
    return {.over = true, .figures = {{"failed", 1.0}}};
  }

  Counterpart& client_;
  Failures& failures_;
  int64_t number_;
  Json reset_;
  int64_t life_ = -1;  // of the program that knows this conversation
};

class ExternalSource : public EnvironmentSource {
 public:
  ExternalSource(std::unique_ptr<Counterpart> client, double fail_share)
      : client_(std::move(client)), failures_(fail_share, client_->name()) {}

  std::unique_ptr<Environment> start(const ConversationStart& start) override {
    return std::make_unique<ExternalEnvironment>(*client_, failures_, next_++,
                                                 reset_of(start.record, start.group_seed));
  }
  bool opens() const override { return true; }
  std::vector<Json> opening(const Record& record, uint64_t group_seed) override {
    for (int tries = 0; tries < 3; ++tries) {
      const auto answer = client_->ask({{"reset", reset_of(record, group_seed)}});
      if (!answer) continue;
      const auto messages = messages_of(*answer);
      if (!messages) {
        user_error(
            "environment {}: expected {{\"id\", \"messages\": [{{\"role\", \"content\"}}, ...]}} to a "
            "reset, found {}",
            client_->name(), dump_line(*answer).substr(0, 200));
      }
      return *messages;
    }
    user_error("environment {}: it does not answer a reset", client_->name());
  }
  bool external() const override { return true; }
  void interrupt() override { client_->interrupt(); }

 private:
  std::unique_ptr<Counterpart> client_;
  Failures failures_;
  std::atomic<int64_t> next_ = 0;
};

}  // namespace

void ExternalEnvironmentOptions::fields(FieldVisitor& v) {
  EnvironmentOptions::fields(v);
  v.field(
      "fail_share", fail_share,
      {.help = "share of the last 100 conversations that may fail before the run stops", .min = 0, .max = 1});
  v.field("judges", judges, {.help = "it gives rewards; else the run's rewards judge the last turn"});
}

void ProcessEnvironmentOptions::fields(FieldVisitor& v) {
  v.field("command", command, {.help = "the program and its arguments", .required = true});
  v.field("timeout_s", timeout_s, {.help = "for one answer", .unit = "seconds", .min = 0.001, .max = 1e6});
  v.field("start_timeout_s", start_timeout_s,
          {.help = "for the first answer after it was started, if that is longer",
           .unit = "seconds",
           .min = 0,
           .max = 1e6});
  ExternalEnvironmentOptions::fields(v);
}

void ProcessEnvironmentOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (command.empty()) problems.push_back(where + ".command: expected a program, found an empty list");
}

std::unique_ptr<EnvironmentSource> ProcessEnvironmentOptions::make() const {
  return std::make_unique<ExternalSource>(std::make_unique<LineClient>(command, timeout_s, start_timeout_s),
                                          fail_share);
}

void HttpEnvironmentOptions::fields(FieldVisitor& v) {
  v.field("url", http.url, {.help = "where questions are posted to", .required = true});
  http.fields(v);
  ExternalEnvironmentOptions::fields(v);
}

void HttpEnvironmentOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  http.check(problems, where);
}

std::unique_ptr<EnvironmentSource> HttpEnvironmentOptions::make() const {
  return std::make_unique<ExternalSource>(std::make_unique<HttpCounterpart>(http, "environment.url"),
                                          fail_share);
}

}  // namespace temper

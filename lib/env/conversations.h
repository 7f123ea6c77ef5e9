// Environments as the decode engine's other side: they are asked, and what they say becomes tokens.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "data/records.h"
#include "env/environment.h"
#include "env/workers.h"
#include "rollout/respondent.h"

namespace temper {

struct ConversationSettings {
  int64_t max_turns = 16, turn_tokens = 0;  // see EnvironmentOptions
  uint64_t seed = 1, step = 0;              // of the streams, as EngineOptions has them
  bool held_out = false;
  // Called about ten times a second while replies are waited for; it may throw.
  std::function<void()> on_wait = {};
};

// What one request is about: the record, with what the environment opens the conversation with.
struct Asked {
  std::shared_ptr<const Record> record;
  uint64_t stream_index = 0;  // see GenerateRequest
};
// The record as it is put before the policy. seed: of the run, as EngineOptions has it.
std::shared_ptr<const Record> opened_record(EnvironmentSource& source, const Record& record, uint64_t seed,
                                            uint64_t stream_index);

class Conversations : public Respondent {
 public:
  // asked: of each request. All outlive this, and so does what it is made of.
  Conversations(EnvironmentSource& source, const RecordEncoder& encoder, std::vector<Asked> asked,
                ConversationSettings settings);
  ~Conversations() override;

  void ended(size_t request, int64_t sample, const PolicyTurn& turn) override;
  std::vector<int64_t> answer(size_t request, int64_t sample) override;
  int64_t patience() const override { return source_.external() ? kPatience : 0; }
  Conversation conversation(size_t request, int64_t sample) override;
  Joint joint(size_t request, int64_t sample) override { return one(request, sample).joint; }
  int64_t turn_tokens(size_t request, int64_t sample) override;
  std::string turn_end(size_t request, int64_t sample) override {
    return one(request, sample).environment->turn_end();
  }

 private:
  static constexpr int64_t kPatience = 16;  // decoding steps: about a second of a small model on two cores

  struct One {
    std::unique_ptr<Environment> environment;
    Conversation told;
    PolicyTurn turn;  // the last one
    std::string state;
    bool goes_on = false;  // its next turn continues the last message
    Joint joint;
    size_t unread_messages = 0, unread_bytes = 0;  // of the last answer, until a turn follows it
    Pending<Reply> reply;
  };
  One& one(size_t request, int64_t sample);

  EnvironmentSource& source_;
  const RecordEncoder& encoder_;
  std::vector<Asked> asked_;
  ConversationSettings settings_;
  std::map<std::pair<size_t, int64_t>, One> open_;
  std::unique_ptr<Workers> workers_;  // of external sources; the last member, so that it ends first
};

}  // namespace temper

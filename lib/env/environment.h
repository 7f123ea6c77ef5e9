// Conversations of several turns: an environment answers what the policy wrote, and may judge it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "base/random.h"
#include "data/records.h"
#include "rollout/respondent.h"

namespace temper {

struct Reply {
  std::vector<Json> messages = {};  // what the policy reads next: {"role", "content" (a string) ...}
  // In the place of messages: words put behind the turn as they are, special tokens and all, with which it
  // goes on; or it goes on without any. What had ended the turn by itself (Environment::turn_end) may be
  // taken back before the words.
  std::string words = {};
  bool goes_on = false, drops_end = false;
  bool over = false;                  // the conversation ends here; no messages then
  std::optional<double> reward = {};  // of the turn that is answered
  // What the policy sees when its next turn begins, as far as it matters: turns of a group that begin in
  // equal states are compared by turn-level advantages. Empty: equal to no other.
  std::string state = {};
  // Added up over the conversation; the metrics are means over the conversations that have the figure.
  std::map<std::string, double> figures = {};
};

// One conversation. Its calls come one after the other, from any thread.
class Environment {
 public:
  virtual ~Environment() = default;
  // Never throws for what the policy wrote; throws UserError when the environment is gone for good.
  virtual Reply reply(const PolicyTurn& turn) = 0;
  // The last reply did not fit into the completion any more, so the conversation is over: the reward and the
  // figures that there are for it yet.
  virtual Reply cut() { return {.over = true}; }
  // Tokens that the policy's next turn may have; 0: no limit of its own.
  virtual int64_t turn_tokens() const { return 0; }
  // Words with which the policy's next turn ends: its own end, which stays in its text. Empty: it has none.
  virtual std::string turn_end() const { return {}; }
};

struct ConversationStart {
  const Record& record;
  RandomStream random;      // the conversation's own
  uint64_t group_seed = 0;  // the same for all conversations that begin with one prompt
  bool held_out = false;    // it is for an evaluation
};

// Where conversations begin: one a run. Thread-safe.
class EnvironmentSource {
 public:
  virtual ~EnvironmentSource() = default;
  virtual std::unique_ptr<Environment> start(const ConversationStart& start) = 0;
  // Whether prompts are the record's alone; else opening() says what stands behind it.
  virtual bool opens() const { return false; }
  // What the policy reads behind the record's prompt before its first turn. A function of its arguments.
  virtual std::vector<Json> opening(const Record& record, uint64_t group_seed) { return {}; }
  // What is known of a record before the long part: see Reward::check.
  virtual std::optional<std::string> check(const Record& record) const { return std::nullopt; }
  // For the chat template's variable "tools"; null: none.
  virtual Json tools() const { return nullptr; }
  // Replies wait for something outside this process, so they are made by threads beside the decoding.
  virtual bool external() const { return false; }
  // Called beside replies that wait for something outside: they throw soon.
  virtual void interrupt() {}
};

// Options of one environment; the config's "environment" section holds these. `kind` picks it from the
// registry.
struct EnvironmentOptions : Fields {
  int64_t max_turns = 16;   // of the policy; the last one is judged and not answered
  int64_t turn_tokens = 0;  // of a turn; 0: as many as there are left
  void fields(FieldVisitor& v) override;
  // It gives rewards of its own.
  virtual bool scores() const { return false; }
  // New tokens that a conversation must have room for.
  virtual int64_t least_tokens() const { return 1; }
  virtual std::unique_ptr<EnvironmentSource> make() const = 0;
};
const Registry<EnvironmentOptions>& environment_registry();

}  // namespace temper

#include "env/conversations.h"

#include <chrono>

#include "base/error.h"

namespace temper {
namespace {

constexpr size_t kThreads = 16;  // they wait for others most of the time

uint64_t group_seed(uint64_t seed, uint64_t stream_index) {
  return RandomStream(seed, "environment", 0, stream_index).next();
}

}  // namespace

std::shared_ptr<const Record> opened_record(EnvironmentSource& source, const Record& record, uint64_t seed,
                                            uint64_t stream_index) {
  // Not ours to delete: the records of a run outlive its conversations.
  if (!source.opens()) return {std::shared_ptr<const Record>(), &record};
  auto opened = std::make_shared<Record>(record);
  for (const Json& message : source.opening(record, group_seed(seed, stream_index)))
    append_message(*opened, message);
  return opened;
}

Conversations::Conversations(EnvironmentSource& source, const RecordEncoder& encoder,
                             std::vector<Asked> asked, ConversationSettings settings)
    : source_(source), encoder_(encoder), asked_(std::move(asked)), settings_(std::move(settings)) {
  if (source.external()) workers_ = std::make_unique<Workers>(kThreads);
}

Conversations::~Conversations() {
  if (workers_ && !open_.empty()) source_.interrupt();
}

Conversations::One& Conversations::one(size_t request, int64_t sample) {
  const auto [it, fresh] = open_.try_emplace({request, sample});
  if (fresh) {
    const Asked& asked = asked_.at(request);
    it->second.environment =
        source_.start({*asked.record,
                       RandomStream(settings_.seed, fmt::format("environment sample {}", sample),
                                    settings_.step, asked.stream_index),
                       group_seed(settings_.seed, asked.stream_index), settings_.held_out});
    it->second.state = "prompt";  // the same for all samples of a group
  }
  return it->second;
}

int64_t Conversations::turn_tokens(size_t request, int64_t sample) {
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  const int64_t own = one(request, sample).environment->turn_tokens();
  const int64_t all = settings_.turn_tokens;
  return std::min(own > 0 ? own : kAny, all > 0 ? all : kAny);
}

void Conversations::ended(size_t request, int64_t sample, const PolicyTurn& turn) {
  One& c = one(request, sample);
  c.turn = turn;
  c.unread_messages = c.unread_bytes = 0;
  if (static_cast<int64_t>(c.told.rewards.size()) + 1 == settings_.max_turns) c.turn.last = true;
  if (!workers_) return;
  c.reply = workers_->add<Reply>(
      [&environment = *c.environment, turn = c.turn] { return environment.reply(turn); });
}

std::vector<int64_t> Conversations::answer(size_t request, int64_t sample) {
  One& c = one(request, sample);
  Reply reply;
  if (workers_) {
    while (c.reply.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
      if (settings_.on_wait) settings_.on_wait();
    }
    reply = c.reply.get();
  } else {
    reply = c.environment->reply(c.turn);
  }
  Conversation& told = c.told;
  const bool last = reply.over || c.turn.last;
  c.joint = {};
  if (!last) c.joint = {reply.goes_on || !reply.words.empty(), reply.drops_end};
  if (c.joint.drops_end && (!c.turn.before_end || reply.words.empty()))
    bug("an environment takes a turn's end back that is not there, or puts nothing in its place");
  const std::string& text = c.joint.drops_end ? *c.turn.before_end : c.turn.text;
  if (c.goes_on) {
    Json& content = told.messages.back()["content"];
    content = content.get<std::string>() + text;
  } else {
    told.messages.push_back({{"role", "assistant"}, {"content", text}});
  }
  // A first message of the assistant is the turn itself, with the calls in it.
  if (!reply.messages.empty() && reply.messages.front()["role"] == "assistant") {
    told.messages.back() = std::move(reply.messages.front());
    reply.messages.erase(reply.messages.begin());
  }
  const size_t place = told.messages.size() - 1;
  told.rewards.push_back(reply.reward);
  told.states.push_back(c.state);
  for (const auto& [name, value] : reply.figures) told.figures[name] += value;
  c.state = reply.state;
  c.goes_on = c.joint.open;
  if (last) return {};
  if (c.goes_on && reply.words.empty()) return {};
  if (c.goes_on) {
    Json& content = told.messages.back()["content"];
    content = content.get<std::string>() + reply.words;
    c.unread_bytes = reply.words.size();
    return encoder_.words(reply.words);
  }
  if (reply.messages.empty()) bug("an environment neither answers nor ends the conversation");
  c.unread_messages = reply.messages.size();
  for (Json& message : reply.messages) told.messages.push_back(std::move(message));
  std::vector<int64_t> ids = encoder_.behind(*asked_[request].record, told.messages, place);
  // The template's end of the turn, which the policy has written already.
  if (c.turn.finish == FinishReason::kEnd && !ids.empty() && ids.front() == c.turn.last_id)
    ids.erase(ids.begin());
  return ids;
}

Conversation Conversations::conversation(size_t request, int64_t sample) {
  const auto it = open_.find({request, sample});
  Conversation told = std::move(it->second.told);
  // An answer that did not fit was not read.
  for (size_t i = 0; i < it->second.unread_messages; ++i) told.messages.erase(told.messages.size() - 1);
  if (const size_t bytes = it->second.unread_bytes; bytes > 0) {
    Json& content = told.messages.back()["content"];
    const auto text = content.get<std::string>();
    content = text.substr(0, text.size() - bytes);
  }
  if (it->second.unread_messages > 0 || it->second.unread_bytes > 0) {
    const Reply last = it->second.environment->cut();
    if (last.reward) told.rewards.back() = told.rewards.back().value_or(0.0) + *last.reward;
    for (const auto& [name, value] : last.figures) told.figures[name] += value;
  }
  open_.erase(it);
  told.figures["turns"] = static_cast<double>(told.rewards.size());
  return told;
}

}  // namespace temper

#include "grammar/automaton.h"

#include <algorithm>
#include <utility>

namespace temper {
namespace {

std::shared_ptr<const CallFrame> make_frame(std::vector<CallFrame::Return> returns) {
  auto frame = std::make_shared<CallFrame>();
  size_t hash = 0x9e3779b97f4a7c15ULL;
  for (const CallFrame::Return& r : returns) {
    for (const size_t part : {static_cast<size_t>(r.state), r.under ? r.under->hash : size_t(1)})
      hash = (hash ^ part) * 0xbf58476d1ce4e5b9ULL, hash ^= hash >> 29;
  }
  frame->returns = std::move(returns);
  frame->hash = hash;
  return frame;
}

}  // namespace

CallFrame::~CallFrame() {
  std::vector<std::shared_ptr<const CallFrame>> open;
  const auto take = [&](std::vector<Return>& from) {
    for (Return& r : from)
      if (r.under) open.push_back(std::move(r.under));
  };
  take(returns);
  while (!open.empty()) {
    const std::shared_ptr<const CallFrame> frame = std::move(open.back());
    open.pop_back();
    if (frame.use_count() == 1) take(const_cast<CallFrame&>(*frame).returns);  // nobody else sees it
  }
}

bool same_frame(const std::shared_ptr<const CallFrame>& a, const std::shared_ptr<const CallFrame>& b) {
  std::vector<std::pair<const CallFrame*, const CallFrame*>> open{{a.get(), b.get()}};
  while (!open.empty()) {
    const auto [x, y] = open.back();
    open.pop_back();
    if (x == y) continue;
    if (x == nullptr || y == nullptr || x->hash != y->hash || x->returns.size() != y->returns.size())
      return false;
    for (size_t i = 0; i < x->returns.size(); ++i) {
      if (x->returns[i].state != y->returns[i].state) return false;
      open.emplace_back(x->returns[i].under.get(), y->returns[i].under.get());
    }
  }
  return true;
}

Branches Automaton::begin() const {
  Branches out{{rules_[static_cast<size_t>(root_)].start, nullptr}};
  open_calls(out);
  return out;
}

// A complete rule goes on behind its calls.
void Automaton::enter(int32_t state, const std::shared_ptr<const CallFrame>& frame, Branches& to) const {
  for (const Branch& b : to) {
    if (b.state == state && b.frame == frame) return;
  }
  to.push_back({state, frame});
  if (ends_[static_cast<size_t>(state)] == 0 || frame == nullptr) return;
  const auto kept = frame;  // `to` may move what the reference is to
  for (const CallFrame::Return& r : kept->returns) enter(r.state, r.under, to);
}

// Goes into the rules that the branches call. Callers come before those that they call, by rank, so that a
// rule that is called from many places is entered once. What has only been on the way is dropped.
void Automaton::open_calls(Branches& to) const {
  struct Pending {
    int32_t rule;
    std::vector<CallFrame::Return> returns;
  };
  std::vector<Pending> pending;
  const auto collect = [&](const Branch& b) {
    for (const Call& call : calls_[static_cast<size_t>(b.state)]) {
      auto at =
          std::find_if(pending.begin(), pending.end(), [&](const Pending& p) { return p.rule == call.rule; });
      if (at == pending.end()) at = pending.insert(pending.end(), {call.rule, {}});
      at->returns.push_back({call.then, b.frame});
    }
  };
  for (const Branch& b : to) collect(b);
  while (!pending.empty()) {
    const auto first = std::min_element(pending.begin(), pending.end(), [&](const auto& a, const auto& b) {
      return rules_[static_cast<size_t>(a.rule)].rank > rules_[static_cast<size_t>(b.rule)].rank;
    });
    to.push_back({rules_[static_cast<size_t>(first->rule)].start, make_frame(std::move(first->returns))});
    pending.erase(first);
    collect(Branch(to.back()));
  }
  std::erase_if(to, [&](const Branch& b) {
    const auto s = static_cast<size_t>(b.state);
    return steps_[s] == 0 && !(ends_[s] != 0 && b.frame == nullptr);
  });
}

void Automaton::step(const Branches& from, uint8_t byte, Branches& to) const {
  to.clear();
  const size_t c = class_of_[byte];
  for (const Branch& b : from) {
    const int32_t next = row(b.state)[c];
    if (next >= 0) enter(next, b.frame, to);
  }
  if (!to.empty()) open_calls(to);
}

bool Automaton::advance(Branches& branches, std::string_view bytes) const {
  Branches next;
  for (const char byte : bytes) {
    step(branches, static_cast<uint8_t>(byte), next);
    branches.swap(next);
    if (branches.empty()) return false;
  }
  return true;
}

bool Automaton::accepts(const Branches& branches) const {
  return std::any_of(branches.begin(), branches.end(), [&](const Branch& b) {
    return b.frame == nullptr && ends_[static_cast<size_t>(b.state)] != 0;
  });
}

bool Automaton::goes_on(const Branches& branches) const {
  return std::any_of(branches.begin(), branches.end(),
                     [&](const Branch& b) { return steps_[static_cast<size_t>(b.state)] != 0; });
}

bool Automaton::matches(std::string_view text) const {
  Branches branches = begin();
  return advance(branches, text) && accepts(branches);
}

std::string Automaton::next_bytes(const Branches& branches) const {
  std::string out;
  Branches next;
  for (int byte = 0; byte < 256; ++byte) {
    step(branches, static_cast<uint8_t>(byte), next);
    if (!next.empty()) out += static_cast<char>(byte);
  }
  return out;
}

}  // namespace temper

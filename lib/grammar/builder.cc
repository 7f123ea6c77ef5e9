#include "grammar/builder.h"

#include "base/error.h"

namespace temper {
namespace {

constexpr size_t kMaxNodes = 1'000'000, kMaxRules = 10'000;

}  // namespace

GrammarBuilder::State GrammarBuilder::state() {
  if (nodes_.size() >= kMaxNodes) {
    user_error(
        "{}: the grammar is too large: it has more than {} places; lower the counts of its repetitions",
        where_, kMaxNodes);
  }
  nodes_.emplace_back();
  return static_cast<State>(nodes_.size() - 1);
}

void GrammarBuilder::skip(State from, State to) {
  nodes_[static_cast<size_t>(from)].skips.push_back(to);
}

void GrammarBuilder::step(State from, ByteRange bytes, State to) {
  nodes_[static_cast<size_t>(from)].edges.push_back({bytes, to});
}

GrammarBuilder::State GrammarBuilder::bytes(State from, std::string_view text) {
  for (const char c : text) {
    const State to = state();
    step(from, {static_cast<uint8_t>(c), static_cast<uint8_t>(c)}, to);
    from = to;
  }
  return from;
}

GrammarBuilder::State GrammarBuilder::characters(State from, const CharSet& set) {
  const State end = state();
  for (const auto& sequence : utf8_of(set)) {
    State at = from;
    for (size_t i = 0; i < sequence.size(); ++i) {
      const State to = i + 1 == sequence.size() ? end : state();
      step(at, sequence[i], to);
      at = to;
    }
  }
  return end;
}

GrammarBuilder::State GrammarBuilder::either(State from, const std::vector<Part>& parts) {
  const State end = state();
  for (const Part& part : parts) skip(part(from), end);
  return end;
}

GrammarBuilder::State GrammarBuilder::repeat(State from, int64_t least, int64_t most, const Part& part) {
  const auto next = [&](State at) {
    const State begin = state();
    skip(at, begin);
    return begin;
  };
  for (int64_t i = 0; i < least; ++i) from = part(next(from));
  if (most < 0) {
    const State loop = next(from);
    skip(part(loop), loop);
    return next(loop);
  }
  const State end = state();
  for (int64_t i = least; i < most; ++i) {
    skip(from, end);
    from = part(next(from));
  }
  skip(from, end);
  return end;
}

GrammarBuilder::State GrammarBuilder::nothing() {
  return state();
}

GrammarBuilder::State GrammarBuilder::call(State from, int32_t rule) {
  const State to = state();
  nodes_[static_cast<size_t>(from)].calls.push_back({rule, to});
  return to;
}

int32_t GrammarBuilder::declare(std::string name) {
  if (rules_.size() >= kMaxRules)
    user_error("{}: the grammar is too large: it has more than {} rules", where_, kMaxRules);
  rules_.push_back({std::move(name)});
  return static_cast<int32_t>(rules_.size() - 1);
}

void GrammarBuilder::define(int32_t rule, const Part& part) {
  const State begin = state(), end = part(begin);
  rules_[static_cast<size_t>(rule)].begin = begin;
  rules_[static_cast<size_t>(rule)].end = end;
}

}  // namespace temper

#include "grammar/regex.h"

#include "base/error.h"
#include "grammar/regex_node.h"

namespace temper {
namespace {

using State = GrammarBuilder::State;

State spell(GrammarBuilder& b, State from, const RegexTree::Node& node, const RegexTree::Spelling& spelling) {
  using Node = RegexTree::Node;
  switch (node.kind) {
    case Node::kSet:
      return node.set.empty() ? b.nothing() : spelling(from, node.set);
    case Node::kSequence:
      for (const auto& part : node.parts) from = spell(b, from, *part, spelling);
      return from;
    case Node::kEither: {
      std::vector<GrammarBuilder::Part> parts;
      for (const auto& part : node.parts)
        parts.emplace_back([&, p = part.get()](State at) { return spell(b, at, *p, spelling); });
      return b.either(from, parts);
    }
    case Node::kRepeat:
      return b.repeat(from, node.least, node.most,
                      [&](State at) { return spell(b, at, *node.parts.front(), spelling); });
  }
  return from;
}

}  // namespace

RegexTree::RegexTree(const std::string& pattern, const std::string& where)
    : alternatives_(parse_regex(pattern, where)) {}
RegexTree::RegexTree(RegexTree&&) noexcept = default;
RegexTree::~RegexTree() = default;

State RegexTree::whole(GrammarBuilder& builder, State from, const Spelling& spelling) const {
  std::vector<GrammarBuilder::Part> parts;
  for (const Alternative& a : alternatives_)
    parts.emplace_back([&](State at) { return spell(builder, at, *a.node, spelling); });
  return builder.either(from, parts);
}

State RegexTree::anywhere(GrammarBuilder& builder, State from, const Spelling& spelling) const {
  const auto anything = [&](State at) {
    return builder.repeat(at, 0, -1, [&](State one) { return spelling(one, CharSet::all()); });
  };
  std::vector<GrammarBuilder::Part> parts;
  for (const Alternative& a : alternatives_) {
    parts.emplace_back([&](State at) {
      if (!a.from_start) at = anything(at);
      at = spell(builder, at, *a.node, spelling);
      return a.to_end ? at : anything(at);
    });
  }
  return builder.either(from, parts);
}

Automaton regex_automaton(const std::string& pattern, const std::string& where) {
  const RegexTree tree(pattern, where);
  GrammarBuilder builder(where);
  const int32_t root = builder.declare("the expression");
  builder.define(root, [&](State from) {
    return tree.whole(builder, from,
                      [&](State at, const CharSet& set) { return builder.characters(at, set); });
  });
  Automaton automaton = builder.build(root);
  if (automaton.accepts_nothing()) user_error("{}: the regular expression matches no text", where);
  return automaton;
}

}  // namespace temper

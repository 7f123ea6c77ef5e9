// Automata put together from parts: steps of bytes, calls of rules, and what is made of these. Built, they
// are deterministic within each rule, and every branch of theirs can be completed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/characters.h"

namespace temper {

// A part begins at a state that it is given and says at which it ends. Nothing leads back into the state it
// was given, so that parts may begin at the same one.
class GrammarBuilder {
 public:
  using State = int32_t;
  using Part = std::function<State(State from)>;

  // where: of the grammar, for messages. All that follow throw UserError when it grows too large.
  explicit GrammarBuilder(std::string where) : where_(std::move(where)) {}

  State state();
  void skip(State from, State to);  // without a byte
  void step(State from, ByteRange bytes, State to);
  State bytes(State from, std::string_view text);
  State characters(State from, const CharSet& set);  // one of them, in UTF-8
  State either(State from, const std::vector<Part>& parts);
  // least ... most times; most < 0: without an end.
  State repeat(State from, int64_t least, int64_t most, const Part& part);
  State nothing();  // where no text leads
  State call(State from, int32_t rule);

  // A rule to be called, whose part comes later. name: for messages.
  int32_t declare(std::string name);
  void define(int32_t rule, const Part& part);

  // Throws UserError when a rule may begin with itself. A rule may not accept the empty text unless it is the
  // root, which none calls.
  Automaton build(int32_t root);

 private:
  friend class Determiniser;
  struct Edge {
    ByteRange bytes;
    State to;
  };
  struct CallEdge {
    int32_t rule;
    State to;
  };
  struct Node {
    std::vector<Edge> edges;
    std::vector<State> skips;
    std::vector<CallEdge> calls;
  };
  struct Definition {
    std::string name;
    State begin = -1, end = -1;
  };
  std::string where_;
  std::vector<Node> nodes_;
  std::vector<Definition> rules_;
};

}  // namespace temper

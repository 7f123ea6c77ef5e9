#include "grammar/constraint.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "grammar/regex.h"
#include "grammar/schema.h"
#include "test.h"

using namespace temper;

namespace {

// Byte-level, SentencePiece with and without byte pieces, and the decoders of tokenizer.json between.
const char* const kTokenizers[] = {"gpt2",         "qwen",      "llama3",  "smollm",      "deepseek",
                                   "llama_legacy", "metaspace", "spm_bpe", "spm_unigram", "nfkc_bytes"};

struct Vocabulary {
  std::unique_ptr<Tokenizer> tokenizer;
  std::shared_ptr<const TokenTexts> texts;
  int64_t end = 0;
};

Vocabulary vocabulary(const std::string& name) {
  Vocabulary out;
  out.tokenizer = Tokenizer::load(test_file("text/golden/tokenizers/" + name));
  const int64_t vocab = out.tokenizer->vocab_size() + 7;  // as models have more rows
  out.texts = std::make_shared<TokenTexts>(*out.tokenizer, vocab);
  out.end = vocab - 1;
  if (const auto eos = out.tokenizer->eos()) out.end = *eos;
  return out;
}

std::shared_ptr<const Constraint> constraint_of(Automaton automaton, const Vocabulary& v) {
  return std::make_shared<Constraint>(std::move(automaton), v.texts, std::vector<int64_t>{v.end},
                                      "constraint");
}

const char* const kSchema = R"({"type": "object", "properties": {
  "name": {"type": "string", "maxLength": 5}, "tags": {"type": "array", "items": {"enum": ["a", "\u00e9t\u00e9", 3]}},
  "more": {}}, "required": ["name"]})";

}  // namespace

TEST_CASE(
    "constraint: the walk of the trie allows what each token's bytes allow, and texts are what decode says") {
  int refused = 0, ended_texts = 0;
  for (const std::string name : kTokenizers) {
    CAPTURE(name);
    const Vocabulary v = vocabulary(name);
    const std::string expressions[] = {" ?[A-Z][a-z]+( [a-z]+){0,3}[.!\\n]", "[^a-m]{1,12}", ".{2,9}"};
    for (int which = 0; which < 4; ++which) {
      CAPTURE(which);
      Automaton automaton = which == 3 ? schema_automaton(parse_json(kSchema, "schema"), "schema")
                                       : regex_automaton(expressions[which], "regex");
      const auto constraint = constraint_of(automaton, v);
      RandomStream random(11, name, 0, static_cast<uint64_t>(which));
      for (int sample = 0; sample < 4; ++sample) {
        ConstraintState state(constraint);
        std::vector<int64_t> ids;
        bool ended = false;
        for (int n = 0; n < 40 && !ended; ++n) {
          std::shared_ptr<const AllowedTokens> allowed;
          try {
            allowed = state.allowed();
          } catch (const UserError&) {  // few of these vocabularies have a token for every byte
            ++refused;
            break;
          }
          std::vector<int64_t> may;
          bool same = true;
          for (int64_t id = 0; id < v.texts->vocab(); ++id) {
            if (allowed->has(id)) may.push_back(id);
            same = same && allowed->has(id) == state.allows(id);
          }
          CHECK(same);
          CHECK(allowed->count == static_cast<int64_t>(may.size()));
          CHECK(allowed->has(v.end) == state.finished());
          if (state.must_end()) CHECK(may == std::vector<int64_t>{v.end});
          const int64_t id = may[random.below(may.size())];
          state.accept(id);
          ended = id == v.end;
          if (!ended) ids.push_back(id);
          ended_texts += ended;
          const std::string text = v.tokenizer->decode(ids, false);
          if (ended || state.finished()) CHECK_MESSAGE(automaton.matches(text), text);
        }
      }
    }
  }
  CHECK(ended_texts > 60);
  CHECK(refused < 60);
}

TEST_CASE("constraint: a text of each kind is spelt by the tokens that the tokenizer makes of it") {
  int spelt = 0;
  for (const std::string name : kTokenizers) {
    CAPTURE(name);
    const Vocabulary v = vocabulary(name);
    for (const char* text :
         {"Hello wide world", " two  spaces ", "\u00e9t\u00e9 \u65e5\u672c \U0001F600", "{\"a\": [1, 2]}"}) {
      const std::vector<int64_t> ids = v.tokenizer->encode(text);
      const std::string decoded = v.tokenizer->decode(ids, false);
      const auto holds = [&](const char* what) { return decoded.find(what) != std::string::npos; };
      if (holds("\u2047") || holds("<unk>") || holds("\uFFFD")) continue;
      if (v.texts->text(ids.front(), true).empty()) continue;  // a mark of the beginning alone
      ++spelt;
      std::string pattern;
      for (const char c : decoded)
        pattern += (c > 0 && std::ispunct(c) != 0 ? std::string("\\") : std::string()) + c;
      ConstraintState state(constraint_of(regex_automaton(pattern, "regex"), v));
      for (const int64_t id : ids) {
        CAPTURE(decoded);
        CAPTURE(id);
        REQUIRE(state.allows(id));
        state.accept(id);
      }
      CHECK(state.must_end());
    }
  }
  CHECK(spelt > 20);
}

TEST_CASE("constraint: what a first token loses is the space that stands for the beginning") {
  const Vocabulary v = vocabulary("llama_legacy");
  const auto id = v.tokenizer->id("\u2581a");
  REQUIRE(id);
  CHECK(v.texts->text(*id, true) == "a");
  CHECK(v.texts->text(*id, false) == " a");
  ConstraintState state(constraint_of(regex_automaton("a a", "regex"), v));
  CHECK(state.allows(*id));
  state.accept(*id);
  CHECK(state.allows(*id));
  state.accept(*id);
  CHECK(state.must_end());
}

TEST_CASE("constraint: a byte that is no character is a byte") {
  for (const std::string name : {"gpt2", "llama_legacy"}) {
    CAPTURE(name);
    const Vocabulary v = vocabulary(name);
    const auto id = v.tokenizer->id(name == "gpt2" ? "\u00f0" : "<0xF0>");  // byte_to_char(0xF0)
    REQUIRE(id);
    CHECK(v.texts->text(*id, false) == "\xF0");
    CHECK(ConstraintState(constraint_of(regex_automaton("\U0001F600", "regex"), v)).allows(*id));
    CHECK_FALSE(ConstraintState(constraint_of(regex_automaton("\u00e9", "regex"), v)).allows(*id));
  }
}

TEST_CASE("constraint: special tokens never, and the end only where the text may end") {
  const Vocabulary v = vocabulary("qwen");
  ConstraintState state(constraint_of(regex_automaton("(.|\\n)*a", "regex"), v));
  for (int64_t id = 0; id < v.texts->vocab(); ++id)
    if (v.tokenizer->is_special(id)) CHECK_FALSE(state.allows(id));
  state.accept(v.tokenizer->encode("a").front());
  for (int64_t id = 0; id < v.texts->vocab(); ++id)
    if (v.tokenizer->is_special(id)) CHECK(state.allows(id) == (id == v.end));
  CHECK_FALSE(state.allows(v.texts->vocab() - 2));  // a row without a token
  CHECK_FALSE(state.allows(-1));
  CHECK_THROWS_AS(state.accept(-1), std::logic_error);
  CHECK_THROWS_AS(state.accept(v.texts->vocab()), std::logic_error);
}

TEST_CASE("constraint: a vocabulary that cannot spell the text says where") {
  const Vocabulary v = vocabulary("spm_unigram");
  std::string refused;
  try {
    ConstraintState state(constraint_of(regex_automaton("a\U0001F600", "regex"), v));
    state.accept(*v.tokenizer->id("\u2581a"));
    state.allowed();
  } catch (const UserError& e) {
    refused = e.what();
  }
  CHECK(
      refused ==
      "constraint: no token that may come can go on behind \"a\"; what must follow is one of the bytes 0xF0");
  CHECK_THROWS_WITH_AS(Constraint(regex_automaton("a", "regex"), v.texts, {}, "regex"),
                       doctest::Contains("a constraint needs an end token"), UserError);
  // Words that are put together by what stands beside them.
  const auto words = Tokenizer::load(test_file("text/golden/tokenizers/words"));
  CHECK_THROWS_WITH_AS(TokenTexts(*words, words->vocab_size()), doctest::Contains("decoder"), UserError);
}

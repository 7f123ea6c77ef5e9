// Tokens that a run adds, against what the tokenizers package makes of them
// (scripts/oracles/added_tokens.py).
#include "text/new_tokens.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

namespace {

std::vector<NewToken> added_by(const Json& golden) {
  std::vector<NewToken> out;
  for (const Json& text : golden["plain"]) out.push_back({text, false});
  for (const Json& text : golden["special"]) out.push_back({text, true});
  return out;
}

}  // namespace

TEST_CASE("new tokens: ids and texts of every style equal the package's, also of the files that are saved") {
  const Json golden = read_json_file(test_file("text/golden/added_tokens.json"));
  const auto added = added_by(golden);
  for (const auto& [style, expected] : golden["styles"].items()) {
    CAPTURE(style);
    const auto fresh = load_with_tokens(test_file("text/golden/tokenizers/" + style), added);
    const TempFolder folder;
    fresh->save(folder.text("saved"));
    const auto saved = Tokenizer::load(folder.text("saved"));
    for (const Tokenizer* tokenizer : {fresh.get(), saved.get()}) {
      for (size_t i = 0; i < added.size(); ++i) {
        const int64_t id = expected["ids"][i];
        CHECK(tokenizer->id(added[i].text) == id);
        CHECK(tokenizer->is_special(id) == added[i].special);
      }
      CHECK(tokenizer->vocab_size() == expected["ids"].back().get<int64_t>() + 1);
      for (const Json& row : expected["rows"]) {
        CAPTURE(row["text"].get<std::string>());
        const auto ids = tokenizer->encode(row["text"].get<std::string>(), {.parse_special = true});
        CHECK(ids == row["ids"].get<std::vector<int64_t>>());
        CHECK(tokenizer->decode(ids, false) == row["shown"].get<std::string>());
      }
      // A user's words do not become a special token, and do become a plain one.
      CHECK(tokenizer->encode("<|tool|>").size() > 1);
      CHECK(tokenizer->encode("<plan>").size() <= 2);  // the space in front of a text may be one
    }
  }
}

TEST_CASE("new tokens: a SentencePiece file takes them through its config") {
  const auto fresh =
      load_with_tokens(test_file("text/golden/tokenizers/spm_bpe"), {{"<plan>"}, {"<|tool|>", true}});
  const int64_t first = Tokenizer::load(test_file("text/golden/tokenizers/spm_bpe"))->vocab_size();
  const TempFolder folder;
  fresh->save(folder.text("saved"));
  const auto saved = Tokenizer::load(folder.text("saved"));
  for (const Tokenizer* tokenizer : {fresh.get(), saved.get()}) {
    CHECK(tokenizer->id("<plan>") == first);
    CHECK(tokenizer->id("<|tool|>") == first + 1);
    CHECK(tokenizer->is_special(first + 1));
    const auto ids = tokenizer->encode("a<plan>b<|tool|>", {.parse_special = true});
    CHECK(std::count(ids.begin(), ids.end(), first) == 1);
    CHECK(ids.back() == first + 1);
  }
}

TEST_CASE("new tokens: what is wrong with a list, and a token that is there already") {
  const auto read = [](const char* text) { new_tokens(parse_json(text, "t"), "model.add_tokens"); };
  CHECK_THROWS_WITH_AS(read(R"("<plan>")"), doctest::Contains("expected a list"), UserError);
  CHECK_THROWS_WITH_AS(read(R"(["a", ""])"), doctest::Contains("cannot be empty"), UserError);
  CHECK_THROWS_WITH_AS(read(R"(["a", {"token": "a"}])"), doctest::Contains("twice"), UserError);
  CHECK_THROWS_WITH_AS(read(R"([{"token": "a", "like": 3}])"), doctest::Contains("\"like\": 3"), UserError);
  CHECK_THROWS_WITH_AS(read(R"([{"token": "a", "Special": true}])"), doctest::Contains("\"Special\""),
                       UserError);
  CHECK_THROWS_WITH_AS(read("[7]"), doctest::Contains("found 7"), UserError);
  CHECK_THROWS_WITH_AS(load_with_tokens(test_file("text/golden/tokenizers/gpt2"), {{"</s>"}}),
                       doctest::Contains("already, with the id"), UserError);
}

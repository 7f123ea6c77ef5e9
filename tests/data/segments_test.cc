#include "data/segments.h"

#include <numeric>

#include "base/error.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

namespace {

using Texts = std::vector<std::string>;

std::string joined(const Texts& texts) {
  return std::accumulate(texts.begin(), texts.end(), std::string());
}

}  // namespace

TEST_CASE("segments: sentences begin with the white space before them, lines end with theirs") {
  for (const auto& [text, wanted] : {
           std::pair<std::string, Texts>("One. Two!  Three", {"One.", " Two!", "  Three"}),
           {"He said \"no.\" Then left.", {"He said \"no.\"", " Then left."}},
           {"Pi is 3.14, no more", {"Pi is 3.14, no more"}},
           {"What?! Yes (so.) Ok", {"What?!", " Yes (so.)", " Ok"}},
           {"Title\n\nText. More.\n", {"Title", "\n\nText.", " More.\n"}},
           {"  ", {"  "}},
           {"\n\nA. ", {"\n\nA. "}},
           {"\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82 \xe5\x86\x8d\xe8\xa7\x81",
            {"\xe4\xbd\xa0\xe5\xa5\xbd\xe3\x80\x82", " \xe5\x86\x8d\xe8\xa7\x81"}},
           {"", {}},
       }) {
    CAPTURE(text);
    CHECK(split_text(text, "sentence") == wanted);
    CHECK(joined(split_text(text, "sentence")) == text);
  }
  for (const auto& [text, wanted] : {
           std::pair<std::string, Texts>("a\nb", {"a\n", "b"}),
           {"a\n\n\nb\n", {"a\n\n\n", "b\n"}},
           {"\n  \na\n", {"\n  \na\n"}},
           {"One. Two.", {"One. Two."}},
           {"\n", {"\n"}},
           {"", {}},
       }) {
    CAPTURE(text);
    CHECK(split_text(text, "line") == wanted);
    CHECK(joined(split_text(text, "line")) == text);
  }
}

namespace {

std::vector<int64_t> ends_of(const FakeTokenizer& tokenizer, const std::vector<int64_t>& ids,
                             const Texts& segments) {
  return segment_ends(tokenizer, ids, segments, "f.jsonl:3");
}

}  // namespace

TEST_CASE("segments: a token that reaches over a border is of the segment that it begins in") {
  const FakeTokenizer tokenizer({"<eos>"}, {". B", "! ", "\n\n"});
  const std::string text = "A. B!  C";
  const Texts segments = split_text(text, "sentence");
  REQUIRE(segments == Texts{"A.", " B!", "  C"});
  std::vector<int64_t> ids = tokenizer.encode(text, {});
  REQUIRE(ids.size() == 5);  // A, ". B", "! ", " ", C
  CHECK(ends_of(tokenizer, ids, segments) == std::vector<int64_t>{1, 2, 4});
  ids.push_back(*tokenizer.id("<eos>"));
  CHECK(ends_of(tokenizer, ids, segments) == std::vector<int64_t>{1, 2, 4});
  // Each token's first byte, found by hand.
  size_t begin = 0;
  for (size_t t = 0; t < 5; ++t) {
    size_t k = 0, border = segments[0].size();
    while (begin >= border) border += segments[++k].size();
    const auto ends = ends_of(tokenizer, ids, segments);
    CHECK(static_cast<int64_t>(t) <= ends[k]);
    if (k > 0) CHECK(static_cast<int64_t>(t) > ends[k - 1]);
    begin += tokenizer.decode({ids[t]}).size();
  }
}

TEST_CASE("segments: of a text that was cut or stripped, and of another one") {
  const FakeTokenizer tokenizer({"<eos>"});
  const Texts segments = {" A.\n", "BC\n", "D\n"};
  const auto ids = tokenizer.encode(" A.\nBC\nD\n", {});
  CHECK(ends_of(tokenizer, ids, segments) == std::vector<int64_t>{3, 6, 8});
  // Templates strip; max_tokens cuts.
  CHECK(ends_of(tokenizer, tokenizer.encode("A.\nBC\nD", {}), segments) == std::vector<int64_t>{2, 5, 6});
  CHECK(ends_of(tokenizer, tokenizer.encode(" A.\nB", {}), segments) == std::vector<int64_t>{3, 4, 4});
  CHECK_THROWS_WITH_AS(ends_of(tokenizer, tokenizer.encode("A.\nBX\nD", {}), segments),
                       doctest::Contains("f.jsonl:3"), UserError);
}

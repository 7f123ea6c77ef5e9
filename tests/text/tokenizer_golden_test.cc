// Every style of tokenizer against the ids and texts that scripts/oracles/tokenizers_goldens.py took from the
// packages.
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/json.h"
#include "test.h"
#include "text/hex.h"
#include "text/tokenizer.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

const char* kStyles[] = {"gpt2",      "llama3", "qwen",       "smollm",  "deepseek",   "llama_legacy",
                         "metaspace", "words",  "nfkc_bytes", "spm_bpe", "spm_unigram"};

std::string style_folder(const std::string& style) {
  return test_file("text/golden/tokenizers/" + style);
}

struct Row {
  std::string text;
  std::vector<int64_t> full, plain;
  std::string decoded;
  bool has_plain;
};

std::vector<Row> read_rows(const std::string& style) {
  std::vector<Row> rows;
  std::ifstream in(style_folder(style) + "/expected.jsonl"), texts(style_folder("lines.hex"));
  std::string text;
  for (std::string line; std::getline(in, line) && std::getline(texts, text);) {
    const Json json = parse_json(line, style);
    Row row;
    row.text = from_hex(text);
    row.full = json["full"].get<std::vector<int64_t>>();
    row.has_plain = json.contains("plain");
    if (row.has_plain) row.plain = json["plain"].get<std::vector<int64_t>>();
    row.decoded = json.contains("text") ? json["text"].get<std::string>() : replace_invalid_utf8(row.text);
    rows.push_back(row);
  }
  REQUIRE(rows.size() > 80);
  return rows;
}

}  // namespace

TEST_CASE("ids and texts of every style equal the packages'") {
  for (const std::string style : kStyles) {
    CAPTURE(style);
    const auto tokenizer = Tokenizer::load(style_folder(style));
    const bool spm = style.starts_with("spm");
    for (const Row& row : read_rows(style)) {
      CAPTURE(row.text);
      // SentencePiece itself knows no special tokens in text; there `full` is begin token and plain text.
      const auto full = tokenizer->encode(row.text, {.add_special = true, .parse_special = !spm});
      CHECK(full == row.full);
      CHECK(tokenizer->decode(row.full, false) == row.decoded);
      const auto plain = tokenizer->encode(row.text);
      if (row.has_plain) {
        CHECK(plain == row.plain);
      } else {
        CHECK(plain == tokenizer->encode(row.text, {.parse_special = true}));
      }
      for (const int64_t id : plain) {
        if (id != tokenizer->id("<unk>").value_or(-1)) CHECK_FALSE(tokenizer->is_special(id));
      }
    }
  }
}

TEST_CASE("a stream gives decode() of the whole and never half a character") {
  uint64_t state = 1;
  for (const std::string style : kStyles) {
    CAPTURE(style);
    const auto tokenizer = Tokenizer::load(style_folder(style));
    std::vector<std::vector<int64_t>> sequences;
    for (const Row& row : read_rows(style)) sequences.push_back(row.full);
    for (int i = 0; i < 50; ++i) {  // any ids at all, some of which belong to nothing
      std::vector<int64_t> ids(20);
      for (int64_t& id : ids) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        id = static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(tokenizer->vocab_size() + 3)) - 1;
        if (i % 2 == 0) id = id % 260;  // bytes, mostly
      }
      sequences.push_back(ids);
    }
    for (const bool special : {false, true}) {
      for (const auto& ids : sequences) {
        StreamDecoder stream(*tokenizer, special);
        std::string whole;
        for (const int64_t id : ids) {
          const std::string part = stream.push(id);
          CHECK(is_valid_utf8(part));
          whole += part;
        }
        whole += stream.finish();
        CHECK(whole == tokenizer->decode(ids, special));
      }
    }
  }
}

TEST_CASE("a stream emits a character as soon as it is complete") {
  const auto tokenizer = Tokenizer::load(style_folder("llama3"));
  const std::string text = "né 😀 x";
  StreamDecoder stream(*tokenizer);
  std::string got;
  size_t early = 0;
  for (const int64_t id : tokenizer->encode(text)) {
    const std::string part = stream.push(id);
    if (!part.empty()) ++early;
    got += part;
  }
  CHECK(early >= 4);
  CHECK(got == text);
  CHECK(stream.finish().empty());
}

TEST_CASE("threads encode at once with the same result") {
  const auto tokenizer = Tokenizer::load(style_folder("qwen"));
  const std::vector<Row> rows = read_rows("qwen");
  std::vector<std::thread> threads;
  int wrong[4] = {};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (const Row& row : rows) {
        wrong[t] += tokenizer->encode(row.text, {.add_special = true, .parse_special = true}) != row.full;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int n : wrong) CHECK(n == 0);
}

}  // namespace temper

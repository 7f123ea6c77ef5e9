// Wrong, truncated and hostile tokenizer files end in one clear line.
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "test.h"
#include "text/tokenizer.h"

namespace temper {
namespace {

std::string golden_text(const std::string& file) {
  return read_file(test_file("text/golden/tokenizers/" + file));
}

struct HostileFolder {
  HostileFolder() : path(std::string(TEMPER_BINARY_DIR) + "/test-tokenizer-hostile") {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~HostileFolder() { fs::remove_all(path); }
  std::string path;
};

// What loading says and, if it loads, encoding some text and decoding some ids; "" when all of that works.
std::string complaint(const std::string& file, const std::string& content,
                      const std::string& text = "Hello, wörld 12") {
  const HostileFolder folder;
  write_file_atomic(folder.path + "/" + file, content);
  try {
    const auto t = Tokenizer::load(folder.path);
    for (const bool parse : {false, true}) {
      auto ids = t->encode(text, {.add_special = true, .parse_special = parse});
      ids.insert(ids.end(), {0, 1, 2, 255, 256, 1 << 30, -5});
      t->decode(ids, parse);
    }
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "";
}

std::string edited(const std::function<void(Json&)>& edit) {
  Json json =
      parse_json(R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": null, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})",
                 "test");
  edit(json);
  return complaint("tokenizer.json", json.dump());
}

void check_complaint(const std::string& got, const std::string& needle) {
  CAPTURE(got);
  CAPTURE(needle);
  CHECK(got.find(needle) != std::string::npos);
}

}  // namespace

TEST_CASE("an unknown part is named") {
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    check_complaint(edited([&](Json& j) { j[part] = {{"type", "Quantum"}}; }), "Quantum");
    check_complaint(edited([&](Json& j) { j[part] = 3; }), "expected an object");
    check_complaint(edited([&](Json& j) { j[part] = {{"kind", "x"}}; }), "\"type\" is missing");
  }
  check_complaint(edited([](Json& j) { j["model"]["type"] = "WordPiece"; }), "WordPiece");
  check_complaint(
      complaint("tokenizer.json", R"({"model": {"vocab": [["a", -1.5], ["b", 2]], "type": "Unigram"}})"),
      "Unigram");
}

TEST_CASE("a malformed model is refused with the place") {
  check_complaint(edited([](Json& j) { j.erase("model"); }), "\"model\" is missing");
  check_complaint(edited([](Json& j) { j["model"].erase("vocab"); }), "\"vocab\" is missing");
  check_complaint(edited([](Json& j) { j["model"].erase("merges"); }), "\"merges\" is missing");
  check_complaint(edited([](Json& j) { j["model"]["vocab"] = Json::object(); }), "no tokens");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = -1; }), "the id of \"a\"");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = 1.5; }), "the id of \"a\"");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = "0"; }), "the id of \"a\"");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = {1}; }), "the id of \"a\"");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = Json::object(); }), "the id of \"a\"");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = 4000000000U; }), "the id of \"a\"");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = 2000000000; }), "far above");
  check_complaint(edited([](Json& j) { j["model"]["vocab"]["a"] = 1; }), "the same id 1");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {"a c"}; }),
                  "\"c\", which is not in the vocabulary");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {"b a"}; }),
                  "\"ba\", which is not in the vocabulary");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {"a  b"}; }), "merges[0]");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {"ab"}; }), "merges[0]");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {{"a", "b", "b"}}; }), "merges[0]");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {{"a"}}; }), "merges[0]");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {1}; }), "merges[0]");
  check_complaint(edited([](Json& j) { j["model"]["merges"] = {{{"a", "b"}}}; }), "merges[0]");
  check_complaint(edited([](Json& j) { j["model"]["dropout"] = 0.1; }), "dropout");
  check_complaint(edited([](Json& j) { j["model"]["fuse_unk"] = "yes"; }),
                  "fuse_unk: expected true or false");
  check_complaint(edited([](Json& j) { j["model"]["unk_token"] = "?"; }), "unk_token \"?\"");
  check_complaint(complaint("tokenizer.json", R"({"model": {"vocab": {"a": 0, "a": 1}, "merges": []}})"),
                  "\"a\" stands twice");
  check_complaint(complaint("tokenizer.json", R"({"model": {}, "model": {}})"), "\"model\" stands twice");
  check_complaint(complaint("tokenizer.json", std::string(100'000, '[')), "nested deeper");
  check_complaint(complaint("tokenizer.json", "[]"), "expected a JSON object");
  check_complaint(complaint("tokenizer.json", ""), "line 1, column 1");
  check_complaint(complaint("tokenizer.json", "{\"model\":\n {\"vocab\": {\"\xff\": 1}}}"), "line 2");
  CHECK(edited([](Json&) {}).empty());
}

TEST_CASE("malformed added tokens and side files are refused") {
  const auto token = [](int64_t id, const char* content) { return Json{{"id", id}, {"content", content}}; };
  check_complaint(edited([&](Json& j) { j["added_tokens"] = {1}; }), "added_tokens[0]: expected an object");
  check_complaint(edited([&](Json& j) { j["added_tokens"] = {{{"id", 3}}}; }), "\"content\" is missing");
  check_complaint(edited([&](Json& j) {
                    j["added_tokens"] = {token(9, "x")};
                    j["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "x"}}}, {"content", ""}};
                  }),
                  "empty once normalised");
  check_complaint(edited([&](Json& j) {
                    j["model"]["vocab"] = {{"a", 0}, {"b", 2}};
                    j["model"]["merges"] = Json::array();
                    j["added_tokens"] = {token(2, "x")};
                  }),
                  "leave holes");
  const auto side = [](const std::string& file, const std::string& content) {
    const HostileFolder folder;
    write_file_atomic(folder.path + "/tokenizer.json", R"({"model": {"vocab": {"a": 0}, "merges": []}})");
    write_file_atomic(folder.path + "/" + file, content);
    try {
      Tokenizer::load(folder.path);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  check_complaint(side("tokenizer_config.json", R"({"eos_token": "</s>"})"), "eos_token \"</s>\"");
  check_complaint(side("tokenizer_config.json", R"({"eos_token": 3})"), "eos_token: expected a token");
  check_complaint(side("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "y"}}})"),
                  "the id \"x\"");
  check_complaint(
      side("tokenizer_config.json", R"({"added_tokens_decoder": {"999999999": {"content": "y"}}})"),
      "far above");
  check_complaint(side("tokenizer_config.json", R"({"added_tokens_decoder": {"0": {"content": "y"}}})"),
                  "another token");
  check_complaint(side("tokenizer_config.json", R"({"added_tokens_decoder": {"5": {"content": "a"}}})"),
                  "has the id 5 here and 0");
  check_complaint(side("tokenizer_config.json", R"({"chat_template": 1})"), "chat_template");
  check_complaint(side("tokenizer_config.json", "{"), "tokenizer_config.json: not valid JSON");
  check_complaint(side("special_tokens_map.json", "[1]"), "special_tokens_map.json");
  CHECK_THROWS_WITH_AS(Tokenizer::load("/no/such/folder"), doctest::Contains("no such folder"), UserError);
  const HostileFolder empty;
  CHECK_THROWS_WITH_AS(Tokenizer::load(empty.path),
                       doctest::Contains("neither tokenizer.json nor tokenizer.model"), UserError);
}

TEST_CASE("patterns that do not compile or never end are refused") {
  const auto split = [](const std::string& pattern) {
    Json json = parse_json(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})", "test");
    json["pre_tokenizer"] = {
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    return complaint("tokenizer.json", json.dump(), std::string(40, 'a') + "!");
  };
  check_complaint(split("(a"), "does not compile");
  check_complaint(split("\\p{Nonsense}"), "does not compile");
  check_complaint(split("(a+)+$|(a|aa)+$"), "gives up");
  check_complaint(split(std::string(100'000, 'a')), "100000 bytes");
  CHECK(split("").empty());
  CHECK(split("a*").empty());
}

TEST_CASE("a truncated or damaged tokenizer.json never crashes") {
  const std::string whole = golden_text("llama_legacy/tokenizer.json");
  for (size_t n = 0; n < whole.size() - 1; n += 1 + whole.size() / 60) {
    CHECK_FALSE(complaint("tokenizer.json", whole.substr(0, n)).empty());
  }
  RandomStream random(3, "damage");
  for (const char* style : {"llama_legacy", "qwen", "words"}) {
    for (int i = 0; i < 40; ++i) {
      std::string bad = golden_text(std::string(style) + "/tokenizer.json");
      for (uint64_t k = 0; k <= random.below(3); ++k) {
        const char* swaps[] = {"null", "-1", "\"\"", "[]", "{}", "1e99", "\"a\"", ","};
        const size_t at = random.below(bad.size());
        bad.replace(at, random.below(6), swaps[random.below(8)]);
      }
      complaint("tokenizer.json", bad);
    }
  }
}

TEST_CASE("a truncated or damaged tokenizer.model never crashes") {
  for (const char* style : {"spm_bpe", "spm_unigram"}) {
    const std::string whole = golden_text(std::string(style) + "/tokenizer.model");
    CHECK(complaint("tokenizer.model", whole).empty());
    CHECK_FALSE(complaint("tokenizer.model", whole.substr(0, whole.size() / 2)).empty());
    RandomStream random(4, style);
    for (int i = 0; i < 150; ++i) {
      std::string bad = whole;
      if (i % 3 == 0) bad.resize(random.below(bad.size()));
      // The specifications stand at the end, the pieces before them.
      for (uint64_t k = 0; k <= random.below(4) && !bad.empty(); ++k) {
        const size_t from = k % 2 == 0 ? 0 : bad.size() - std::min<size_t>(bad.size(), 3000);
        bad[from + random.below(bad.size() - from)] = static_cast<char>(random.below(256));
      }
      complaint("tokenizer.model", bad);
    }
  }
  check_complaint(complaint("tokenizer.model", ""), "no pieces");
  // A node of its normalisation table promises a leaf and leads to a unit that is none.
  check_complaint(
      complaint("tokenizer.model", read_file(test_file("fuzz/corpus/sentencepiece/leaf_outside_strings"))),
      "the normalisation table is damaged");
  check_complaint(complaint("tokenizer.model", "{\"not\": \"a model\"}"), "not a SentencePiece model");
}

}  // namespace temper

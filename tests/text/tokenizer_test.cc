// Tokenizer folders: special tokens, side files, saving, text of any kind.
#include "text/tokenizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "test.h"
#include "text/inspect.h"
#include "text/template.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

// A folder of its own for one test, gone afterwards.
struct Folder {
  explicit Folder(const std::string& name)
      : path(std::string(TEMPER_BINARY_DIR) + "/test-tokenizer-" + name) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  void put(const std::string& file, const std::string& text) const {
    write_file_atomic(path + "/" + file, text);
  }
  std::string path;
};

Json small_file() {
  return parse_json(R"({
    "added_tokens": [
      {"id": 6, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
      {"id": 7, "content": "<t>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "unk_token": "u", "ignore_merges": false, "byte_fallback": false,
      "vocab": {"a": 0, "b": 1, "ab": 2, "u": 3, " ": 4, "abab": 5}, "merges": ["a b", "ab ab"]}})",
                    "test");
}

std::unique_ptr<Tokenizer> load_json(const Json& json, const std::string& config = "{}") {
  const Folder folder("one");
  folder.put("tokenizer.json", json.dump());
  folder.put("tokenizer_config.json", config);
  return Tokenizer::load(folder.path);
}

using Ids = std::vector<int64_t>;

}  // namespace

TEST_CASE("a small BPE by hand") {
  const auto t = load_json(small_file());
  CHECK(t->encode("abab ab") == Ids{5, 4, 2});
  CHECK(t->encode("aba?") == Ids{2, 0, 3});
  CHECK(t->encode("") == Ids{});
  CHECK(t->decode({5, 4, 2, 99, -1}) == "abab ab");
  CHECK(t->vocab_size() == 8);
  CHECK(t->piece(7) == "<t>");
  CHECK(t->id("ab") == 2);
  CHECK(t->id("zz") == std::nullopt);
  CHECK_THROWS_AS(t->piece(8), UserError);
  CHECK_THROWS_AS(t->piece(-1), UserError);
  CHECK(inspect_tokenize(*t, "ab", {}).dump() == R"({"ids":[2],"pieces":["ab"],"decoded":"ab"})");
}

TEST_CASE("special tokens in text are text unless asked for; other added tokens always count") {
  const auto t = load_json(small_file());
  CHECK(t->encode("a<s>b<t>", {.parse_special = true}) == Ids{0, 6, 1, 7});
  CHECK(t->encode("a<s>b<t>") == Ids{0, 3, 3, 3, 1, 7});
  CHECK(t->decode({0, 6, 1, 7}, true) == "a<s>b<t>");
  CHECK(t->decode({0, 6, 1, 7}, false) == "ab<t>");
  CHECK(t->is_special(6));
  CHECK_FALSE(t->is_special(7));
}

TEST_CASE("inside a chat, what users wrote never becomes a special token") {
  const auto t = load_json(small_file());
  const std::string text = "<s>a<s>b<s>";
  CHECK(t->encode(text, {.parse_special = true, .plain = {{3, 8}}}) == Ids{6, 0, 3, 3, 3, 1, 6});
  // Not even when its end stands in the template.
  CHECK(t->encode(text, {.parse_special = true, .plain = {{3, 5}}}) == Ids{6, 0, 3, 3, 3, 1, 6});
  // Places move when bytes are replaced.
  CHECK(t->encode("\xff<s>\xff<s>", {.parse_special = true, .plain = {{0, 1}, {4, 8}}}) ==
        Ids{3, 6, 3, 3, 3, 3});
}

TEST_CASE("no spelling makes plain text a special or byte token") {
  Json json = small_file();
  json["added_tokens"] = Json::array();
  json["model"]["byte_fallback"] = true;
  json["model"]["vocab"] = {{"<", 0},   {"s", 1},     {">", 2},   {"<s", 3},      {"<s>", 4},
                            {"0", 5},   {"x", 6},     {"4", 7},   {"1", 8},       {"<0", 9},
                            {"x4", 10}, {"<0x4", 11}, {"1>", 12}, {"<0x41>", 13}, {"u", 14}};
  json["model"]["merges"] = {"< s", "<s >", "< 0", "x 4", "<0 x4", "1 >", "<0x4 1>"};
  for (const bool whole_words : {false, true}) {
    json["model"]["ignore_merges"] = whole_words;
    const auto t = load_json(json, R"({"bos_token": "<s>"})");
    CHECK(t->bos() == 4);
    CHECK(t->encode("<s>") == Ids{3, 2});
    CHECK(t->encode("<0x41>") == Ids{11, 12});
    CHECK(t->encode("<s>", {.parse_special = true}) == Ids{4});
    CHECK(t->encode("A") == Ids{13});
  }
}

TEST_CASE("invalid UTF-8 reads as U+FFFD, as Python's errors=replace has it") {
  CHECK(replace_invalid_utf8("a\xff"
                             "b") == "a\uFFFDb");
  CHECK(replace_invalid_utf8("\xe4\xbd\x41") == "\uFFFDA");
  CHECK(replace_invalid_utf8("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");
  CHECK(replace_invalid_utf8("\xf0\x9f\x98") == "\uFFFD");
  CHECK(replace_invalid_utf8("\xf4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
  CHECK(replace_invalid_utf8("\xc0\xaf") == "\uFFFD\uFFFD");
  CHECK(is_valid_utf8("né😀"));
  CHECK_FALSE(is_valid_utf8("\xe9"));
}

TEST_CASE("normal forms") {
  CHECK(normalize_unicode("e\u0301", NormalForm::kNfc) == "\u00e9");
  CHECK(normalize_unicode("\u00e9\u0323", NormalForm::kNfc) == "\u1eb9\u0301");
  CHECK(normalize_unicode("a\u0315\u0300b", NormalForm::kNfd) == "a\u0300\u0315b");
  CHECK(normalize_unicode("ﬁ①", NormalForm::kNfkc) == "fi1");
  CHECK(normalize_unicode("각", NormalForm::kNfd) == "\u1100\u1161\u11a8");
  CHECK(normalize_unicode("\u1100\u1161\u11a8", NormalForm::kNfc) == "각");
  CHECK(lowercase_unicode("ÀİΣ") == "ài\u0307σ");
}

TEST_CASE("named tokens and templates come from the side files") {
  Json json = small_file();
  const Folder folder("side");
  folder.put("tokenizer.json", json.dump());
  folder.put("special_tokens_map.json",
             R"({"eos_token": {"content": "ab"}, "pad_token": "<t>", "bos_token": "b"})");
  folder.put("tokenizer_config.json",
             R"({"bos_token": "<s>", "eos_token": null, "chat_template": [{"name": "tool", "template": "x"},
                 {"name": "default", "template": "from config"}],
                 "added_tokens_decoder": {"7": {"content": "<t>", "special": true}, "9": {"content": "<new>", "special": true}}})");
  auto t = Tokenizer::load(folder.path);
  CHECK(t->bos() == 6);
  CHECK(t->eos() == 2);
  CHECK(t->pad() == 7);
  CHECK(t->is_special(2));
  CHECK(t->is_special(7));
  CHECK(t->id("<new>") == 9);
  CHECK(t->vocab_size() == 10);
  CHECK(t->encode("<new>", {.parse_special = true}) == Ids{9});
  CHECK(t->chat_template() == "from config");
  folder.put("chat_template.jinja", "from jinja");
  CHECK(Tokenizer::load(folder.path)->chat_template() == "from jinja");

  const Folder copy("copy");
  Tokenizer::load(folder.path)->save(copy.path + "/inner");
  for (const char* file :
       {"tokenizer.json", "special_tokens_map.json", "tokenizer_config.json", "chat_template.jinja"}) {
    CHECK(read_file(folder.path + "/" + file) == read_file(copy.path + "/inner/" + file));
  }
}

TEST_CASE("composition equals the library's own, in time that grows with the length") {
  // The library sorts a run of marks in time with the square of its length.
  const auto slow = [](const std::string& text, bool fold) {
    utf8proc_uint8_t* mapped = nullptr;
    const auto options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | (fold ? UTF8PROC_CASEFOLD : 0);
    const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                static_cast<utf8proc_option_t>(options));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
    return std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(n));
  };
  const std::vector<std::string> units = {"\u0301", "\u0323", "\u0334", "\u0345", "a",      "E",
                                          "ß",      "İ",      "\u0344", "\u1100", "\u1161", "\u11a8",
                                          "\u0f73", "\u0958", "\u1e9b", "Ω",      "각",     "\u212b",
                                          " ",      "ﬁ",      "\u09c7", "\u09be", "😀",      "\u3099"};
  uint32_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < round % 40; ++i) {
      state = state * 1664525 + 1013904223;
      text += units[(state >> 16) % (round % 2 == 0 ? 4 : units.size())];
    }
    CAPTURE(text);
    CHECK(compose_unicode(text, false) == slow(text, false));
    CHECK(compose_unicode(text, true) == slow(text, true));
  }
  std::string marks = "a", wanted = "\u1ea1";
  for (int i = 0; i < 200'000; ++i) marks += "\u0301\u0323\u0334";
  for (int i = 0; i < 200'000; ++i) wanted += "\u0334";
  for (int i = 1; i < 200'000; ++i) wanted += "\u0323";
  for (int i = 0; i < 200'000; ++i) wanted += "\u0301";
  CHECK(compose_unicode(marks, false) == wanted);
}

TEST_CASE("templates see every token that the files name, a family's own too") {
  const Folder folder("named");
  folder.put("tokenizer.json", small_file().dump());
  folder.put("special_tokens_map.json", R"({"unk_token": "a", "eos_token": {"content": "ab"}})");
  folder.put("tokenizer_config.json",
             R"({"bos_token": "<s>", "eos_token": "b", "image_token": "<t>", "add_bos_token": true,
                 "extra_special_tokens": {"boi_token": "<s>"}})");
  const std::map<std::string, std::string> named = {{"bos_token", "<s>"},
                                                    {"boi_token", "<s>"},
                                                    {"eos_token", "ab"},  // the older file, without a table
                                                    {"image_token", "<t>"},
                                                    {"unk_token", "a"}};
  auto t = Tokenizer::load(folder.path);
  CHECK(t->named_tokens() == named);
  CHECK(t->eos() == 2);
  const ChatTemplate source("{{ unk_token }}{{ image_token }}{{ boi_token }}{{ sep_token is defined }}");
  CHECK(source.encode(*t, Json::array(), false).text == "a<t><s>False");
  folder.put("tokenizer_config.json", R"({"eos_token": "b", "added_tokens_decoder": {}})");
  CHECK(Tokenizer::load(folder.path)->named_tokens().at("eos_token") == "b");
}

TEST_CASE("begin and end tokens come from the post-processor") {
  Json json = small_file();
  json["post_processor"] = parse_json(
      R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A",
      "type_id": 0}}, {"SpecialToken": {"id": "e", "type_id": 0}}], "pair": [], "special_tokens":
      {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}, "e": {"id": "e", "ids": [7, 7], "tokens": ["<t>", "<t>"]}}})",
      "test");
  const auto t = load_json(json);
  CHECK(t->encode("ab", {.add_special = true}) == Ids{6, 2, 7, 7});
  CHECK(t->encode("ab") == Ids{2});
}

TEST_CASE(
    "flags of the config put begin and end tokens around tokenizer.model's text, not tokenizer.json's") {
  const auto around = [](const std::string& style, const char* file, const char* config) {
    const Folder folder("flags");
    folder.put(file, read_file(test_file("text/golden/tokenizers/" + style + "/" + file)));
    folder.put("tokenizer_config.json", config);
    const auto t = Tokenizer::load(folder.path);
    const auto bare = t->encode("ab"), whole = t->encode("ab", {.add_special = true});
    const auto inner = std::search(whole.begin(), whole.end(), bare.begin(), bare.end());
    return std::pair(inner - whole.begin(), whole.end() - inner - std::ssize(bare));
  };
  // What transformers 5.23 does, whatever class the config names.
  const auto model = [&](const char* config) { return around("spm_bpe", "tokenizer.model", config); };
  CHECK(model("{}") == std::pair<std::ptrdiff_t, std::ptrdiff_t>(0, 0));
  CHECK(model(R"({"add_bos_token": true})") == std::pair<std::ptrdiff_t, std::ptrdiff_t>(1, 0));
  CHECK(model(R"({"add_bos_token": true, "add_eos_token": true})") ==
        std::pair<std::ptrdiff_t, std::ptrdiff_t>(1, 1));
  CHECK(model(R"({"add_bos_token": false, "add_eos_token": true})") ==
        std::pair<std::ptrdiff_t, std::ptrdiff_t>(0, 1));
  for (const char* config :
       {"{}", R"({"add_bos_token": false, "add_eos_token": false})", R"({"add_bos_token": true})"}) {
    CHECK(around("llama_legacy", "tokenizer.json", config) ==
          std::pair<std::ptrdiff_t, std::ptrdiff_t>(1, 1));
  }
}

TEST_CASE("very long runs take time that grows with their length") {
  for (const std::string style : {"llama3", "qwen", "llama_legacy", "spm_bpe"}) {
    CAPTURE(style);
    const auto t = Tokenizer::load(test_file("text/golden/tokenizers/" + style));
    for (const std::string unit : {"a", " ", "\n", "\u0301"}) {
      std::string text;
      while (text.size() < 300'000) text += unit;
      const std::string back = t->decode(t->encode(text));
      CHECK(back == text);
    }
  }
}

TEST_CASE("training: the same files each time, read alike by both readers") {
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) {
    texts.push_back(
        fmt::format("Tom has {} apples and buys {} more.\nHow many apples are there? {}\tnaïve <|im_end|>", i,
                    i * 7, i * 8));
  }
  const Folder one("train1"), two("train2"), model_only("train3");
  train_sentencepiece(texts, 350, one.path);
  train_sentencepiece(texts, 350, two.path);
  for (const char* file :
       {"tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    CHECK(read_file(one.path + "/" + file) == read_file(two.path + "/" + file));
  }
  model_only.put("tokenizer.model", read_file(one.path + "/tokenizer.model"));
  model_only.put("tokenizer_config.json", read_file(one.path + "/tokenizer_config.json"));
  const auto json = Tokenizer::load(one.path), spm = Tokenizer::load(model_only.path);
  CHECK(json->vocab_size() == 350);
  CHECK(spm->vocab_size() == 350);
  CHECK(json->eos() == json->id("<|im_end|>"));
  CHECK(json->pad() == json->id("<|endoftext|>"));
  CHECK(json->bos() == std::nullopt);
  CHECK(json->chat_template().find("{%- generation -%}") != std::string::npos);
  for (const std::string text :
       {"Tom has 123 apples", "", "  two  spaces\n\n\tand 😀 é", "<|im_start|>user\nhi<|im_end|>", "<0x0A>",
        "a\xff\xfe z", "aaaaaaaaaaaaaaaaaaa"}) {
    for (const bool parse : {false, true}) {
      const auto ids = json->encode(text, {.add_special = true, .parse_special = parse});
      CHECK(ids == spm->encode(text, {.add_special = true, .parse_special = parse}));
      CHECK(json->decode(ids) == replace_invalid_utf8(text));
      CHECK(spm->decode(ids) == replace_invalid_utf8(text));
    }
  }
  CHECK(json->encode("123") == Ids{*json->id("1"), *json->id("2"), *json->id("3")});

  CHECK_THROWS_WITH_AS(train_sentencepiece(texts, 50'000, two.path), doctest::Contains("too high"),
                       UserError);
  CHECK_THROWS_WITH_AS(train_sentencepiece(texts, 10, two.path), doctest::Contains("vocab_size must be from"),
                       UserError);
  CHECK_THROWS_WITH_AS(train_sentencepiece({"\n", "\t"}, 400, two.path), doctest::Contains("empty"),
                       UserError);
}

}  // namespace temper

// Large data: records where they stand, what is made of them, and the cache of both.
#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/large/blob_file.h"
#include "data/large/encoded.h"
#include "data/large/in_order.h"
#include "data/large/record_set.h"
#include "temp_folder.h"
#include "test.h"
#include "text/fake_tokenizer.h"
#include "told.h"

using namespace temper;

namespace {

struct Folder {
  TempFolder folder;
  Console silent{{.fd = ::open("/dev/null", O_WRONLY)}};
  std::string cache() const { return folder.text("cache"); }
  Records open(const std::vector<std::string>& files, const RecordFormat& format = {}) const {
    return open(files, DataCache(cache()), format);
  }
  static Records open(const std::vector<std::string>& files, const DataCache& cache,
                      const RecordFormat& format = {}) {
    std::vector<std::shared_ptr<const RecordSource>> sources;
    for (const std::string& file : files)
      for (auto& source : open_source(file, format, cache)) sources.push_back(std::move(source));
    return Records(std::move(sources));
  }
  // The files of a kind in the cache.
  std::vector<std::string> kept(const std::string& kind) const {
    std::vector<std::string> out;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(cache(), none))
      if (entry.path().filename().string().starts_with(kind + "-")) out.push_back(entry.path().string());
    return out;
  }
};

void check_same(const Records& large, const std::vector<Record>& held) {
  REQUIRE(large.size() == held.size());
  for (size_t i = 0; i < held.size(); ++i) {
    const Record record = large[i];
    CHECK(record.json == held[i].json);
    CHECK(record.where() == held[i].where());
  }
}

std::string numbered_line(int i, size_t size = 10) {
  return "{\"prompt\": \"" + std::to_string(i) + "\", \"completion\": \"" + std::string(size, 'x') + "\"}";
}

// Another time than that of before, whatever the file system's resolution.
void touch(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  const timespec times[2] = {info.st_atim, {info.st_mtim.tv_sec + 5, info.st_mtim.tv_nsec}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

const std::string kOther = R"({"instruction": "i", "input": "", "output": "o"})";

}  // namespace

TEST_CASE("in_order: results come in order, and the first error in that order") {
  for (const size_t threads : {1, 2, 7}) {
    std::vector<size_t> out;
    const auto uneven = [](size_t i) {
      if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
      return i;
    };
    in_order(threads, 100, uneven, [&](size_t i) { out.push_back(i); });
    CHECK(out == std::vector<size_t>([&] {
            std::vector<size_t> all(100);
            for (size_t i = 0; i < all.size(); ++i) all[i] = i;
            return all;
          }()));
    out.clear();
    const auto failing = [&](size_t i) {
      if (i == 7) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (i >= 7) user_error("{}", i);
      return i;
    };
    CHECK(problem([&] { in_order(threads, 100, failing, [&](size_t i) { out.push_back(i); }); }) == "7");
    CHECK(out.size() == 7);
    CHECK(problem([&] {
            in_order(threads, 100, uneven, [](size_t i) {
              if (i == 3) user_error("taken");
            });
          }) == "taken");
  }
}

TEST_CASE("large records: the same as in memory, wherever lines end") {
  const Folder f;
  std::string pieces;  // lines across the borders of the pieces that threads read
  for (int i = 0; i < 9000; ++i) pieces += numbered_line(i, 1000 + i % 77) + "\n";
  const std::string huge = numbered_line(1, 9 << 20);
  const std::vector<std::string> contents = {
      numbered_line(1) + "\n" + numbered_line(2) + "\n",
      numbered_line(1) + "\n" + numbered_line(2),
      numbered_line(1) + "\r\n" + numbered_line(2) + "\r\n",
      "\n\n" + numbered_line(1) + "\n \t\r\n\n" + numbered_line(2) + "\n\n\n",
      "\xEF\xBB\xBF" + numbered_line(1) + "\n" + numbered_line(2) + "\n",
      numbered_line(0) + "\n" + huge + "\n" + numbered_line(2) + "\n\n" + numbered_line(3),
      huge,
      pieces,
      "\n" + pieces + "\n\n" + numbered_line(1),
      kOther + "\n" + kOther + "\n",
  };
  for (size_t i = 0; i < contents.size(); ++i) {
    CAPTURE(i);
    const std::string path = f.folder.write("c" + std::to_string(i) + ".jsonl", contents[i]);
    const std::vector<Record> held = read_data({path});
    check_same(f.open({path}), held);
    check_same(f.open({path}), held);                     // from the index
    check_same(Folder::open({path}, DataCache()), held);  // without any cache
  }
  CHECK(f.kept("index").size() == contents.size());
}

TEST_CASE("large records: what is no JSONL is copied into the cache") {
  const Folder f;
  for (const auto& [name, content] :
       {std::pair<std::string, std::string>{"a.json",
                                            "[" + numbered_line(1) + ",\n\n" + numbered_line(2) + "]"},
        {"a.csv", "prompt,completion\na,\"b\nc\"\nd,\n"},
        {"b.json", "[" + kOther + "]"}}) {
    CAPTURE(name);
    const std::string path = f.folder.write(name, content);
    check_same(f.open({path}), read_data({path}));
    check_same(f.open({path}), read_data({path}));
  }
  CHECK(f.kept("rows").size() == 3);
}

TEST_CASE("large records: a compressed file that unpacks to much goes through a file that nobody sees") {
  const Folder f;
  std::string text;
  uint64_t state = 1;
  while (text.size() < 70 << 20) {
    std::string words;
    for (int i = 0; i < 3000; ++i)
      words += std::to_string((state = state * 6364136223846793005 + 1442695040888963407) >> 40) + " ";
    text += "{\"text\": \"" + words + "\"}\n";
  }
  const std::string path = f.folder.text("a.jsonl.gz");
  const gzFile out = ::gzopen(path.c_str(), "wb1");
  REQUIRE(::gzwrite(out, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()));
  ::gzclose(out);
  const Records records = f.open({path});
  const std::vector<Record> held = read_data({path});
  REQUIRE(records.size() == held.size());
  for (size_t i = 0; i < held.size(); i += 97) {
    CHECK(records[i].json == held[i].json);
    CHECK(records[i].where() == held[i].where());
  }
  for (const auto& entry : fs::directory_iterator(f.cache()))
    CHECK((entry.path().filename().string().starts_with("rows-") || entry.path().filename() == "files"));
}

TEST_CASE("large records: the errors are those of data in memory, with file and line") {
  const Folder f;
  std::string many = "\n";
  for (int i = 0; i < 6000; ++i) many += numbered_line(i, 1000) + "\n";
  RecordFormat system, alpaca;
  system.columns.system = "sys";
  alpaca.name = "alpaca";
  const std::vector<std::pair<std::string, RecordFormat>> bad = {
      {"", {}},
      {" \n\n", {}},
      {many + "{\"prompt\": oops}\n" + many, {}},
      {many + "[1]\n" + many, {}},
      {many + kOther + "\n", {}},
      {kOther + "\n" + many, {}},
      {"{\n\"prompt\": \"a\"}\n", {}},
      {many + "{\"prompt\": \"\xFF\"}", {}},
      {many, system},
      {many, alpaca},
      {"prompt,completion\na\n", {}},
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    CAPTURE(i);
    const std::string path =
        f.folder.write(i + 1 == bad.size() ? "b.csv" : "b" + std::to_string(i), bad[i].first);
    const std::string told = problem([&] { read_data({path}, bad[i].second); });
    CHECK_FALSE(told.empty());
    CHECK(problem([&] { f.open({path}, bad[i].second); }) == told);
  }
  CHECK(f.kept("index").empty());
  CHECK(f.kept("rows").empty());
  CHECK(has(problem([&] { f.open({f.folder.text("none.jsonl")}); }), "none.jsonl: cannot open"));
}

TEST_CASE("large records: a file that changes under the run is an error that names it") {
  const Folder f;
  const std::string one = numbered_line(1) + "\n" + numbered_line(2) + "\n",
                    path = f.folder.write("a.jsonl", one);
  const Records records = f.open({path});
  CHECK(records[1].line == 2);
  const auto says = [&](const char* what) {
    const std::string told = problem([&] { records[1]; });
    CHECK(has(told, path + ": the file changed while it was in use"));
    CHECK(has(told, what));
  };
  f.folder.write("a.jsonl", numbered_line(1));  // shorter: a map would end the process
  says("bytes then");
  f.folder.write("a.jsonl", numbered_line(1) + "\n" + numbered_line(3) + "\n");
  touch(path);
  says("other content of the same size");
}

TEST_CASE("records: choosing and changing is the same in memory and where they stand") {
  const Folder f;
  std::string text;
  for (int i = 0; i < 50; ++i) text += numbered_line(i) + "\n";
  const std::string a = f.folder.write("a.jsonl", text), b = f.folder.write("b.jsonl", text);
  Records large = f.open({a, b});
  Records held = read_data({a, b});
  CHECK(large.large());
  CHECK_FALSE(held.large());
  CHECK(large.key(0) == large.key(1));
  const std::string key = large.key(0);
  for (Records* records : {&large, &held}) {
    records->change([](Record& record) { record.json["new"] = record.json["prompt"]; }, "new");
    records->erase_if([](const Record& record) { return record.json["new"] == "7"; });
    std::vector<bool> some(records->size());
    for (size_t i = 0; i < some.size(); i += 3) some[i] = true;
    const Records taken = records->take(some);
    CHECK(taken.size() == 33);
    CHECK(taken[1].json["new"] == "3");
    CHECK(taken.file(32) == b);
    records->resize(60);
    records->resize(100);
  }
  CHECK(large.key(0) != key);
  check_same(large, held.all(""));
  CHECK(&large.kept(5) == &large.kept(5));
  CHECK(large.kept(5).json == held.kept(5).json);
  large.forget();
  CHECK(large.held("the test").size() == 60);
  CHECK_FALSE(large.large());
  check_same(held, large.all(""));
}

TEST_CASE("data cache: what is torn, of another version or of other data is made anew") {
  const Folder f;
  const std::string path = f.folder.write("a.jsonl", numbered_line(1) + "\n" + numbered_line(2) + "\n");
  const std::vector<Record> held = read_data({path});
  check_same(f.open({path}), held);
  REQUIRE(f.kept("index").size() == 1);
  const std::string index = f.kept("index")[0], whole = read_file(index);
  const auto stamp = [&] { return stamp_of(index); };
  // A hit leaves the file alone.
  const FileStamp before = stamp();
  check_same(f.open({path}), held);
  CHECK(stamp() == before);
  std::vector<std::string> damaged = {"", "x", whole.substr(0, whole.size() / 2), whole.substr(1),
                                      whole + "x"};
  for (size_t i = 0; i < whole.size(); ++i) {  // any byte
    damaged.push_back(whole);
    damaged.back()[i] = static_cast<char>(damaged.back()[i] ^ 64);
  }
  const size_t blobs = whole.find("TMPRDATA");  // behind table and note
  REQUIRE(blobs != std::string::npos);
  size_t made_anew = 0;
  for (const std::string& bytes : damaged) {
    write_file_atomic(index, bytes);
    try {
      check_same(f.open({path}), held);
      made_anew += read_file(index) == whole ? 1 : 0;
    } catch (const UserError& e) {  // of a blob: found when it is read
      CHECK(has(e.what(), index + ": this file of the data cache is damaged: remove it"));
    }
  }
  CHECK(made_anew > damaged.size() / 2);
  write_file_atomic(index, whole);
  // The content decides, not the name or the time; other settings have files of their own.
  const std::string moved = f.folder.write("b.jsonl", numbered_line(1) + "\n" + numbered_line(2) + "\n");
  f.open({moved});
  touch(path);
  f.open({path});
  CHECK(f.kept("index").size() == 1);
  RecordFormat named;
  named.name = "trl";
  f.open({path}, named);
  CHECK(f.kept("index").size() == 2);
  f.folder.write("a.jsonl", numbered_line(1) + "\n" + numbered_line(3) + "\n");
  touch(path);
  CHECK(f.open({path})[1].json["prompt"] == "3");
  CHECK(f.kept("index").size() == 3);
}

TEST_CASE("data cache: a folder that cannot be written is no reason to stop, and its size is bounded") {
  const Folder f;
  const std::string path = f.folder.write("a.jsonl", numbered_line(1) + "\n" + numbered_line(2) + "\n");
  const std::string file = f.folder.write("file", "");
  check_same(Folder::open({path}, DataCache(file + "/cache")), read_data({path}));
  CHECK(read_file(file).empty());

  const DataCache small(f.cache(), 3000);
  const auto fill = [](BlobWriter& out) {
    out.add(std::string(1000, 'x'));
    return Json::object();
  };
  for (int i = 0; i < 10; ++i) {
    const std::string key = std::string(31, 'a') + static_cast<char>('a' + i);
    CHECK(small.made("test", key, "a test", fill)->blob(0).size() == 1000);
    CHECK(fs::exists(f.cache() + "/test-" + key));
  }
  CHECK(f.kept("test").size() == 2);
  for (const auto& entry : fs::directory_iterator(f.cache())) CHECK(entry.path().extension() != ".tmp");
  // A pass that ends early leaves nothing.
  CHECK(problem([&] {
          small.made("test", std::string(32, 'z'), "a test", [](BlobWriter& out) -> Json {
            out.add(std::string(3 << 20, 'x'));
            user_error("a bad line");
          });
        }) == "a bad line");
  CHECK_FALSE(fs::exists(f.cache() + "/test-" + std::string(32, 'z')));
  for (const auto& entry : fs::directory_iterator(f.cache())) CHECK(entry.path().extension() != ".tmp");
}

TEST_CASE("data cache: fingerprints are remembered by what a file is") {
  const Folder f;
  const DataCache cache(f.cache());
  const std::string path = f.folder.write("a", "one");
  const timespec long_ago[2] = {{1000, 0}, {1000, 0}};
  ::utimensat(AT_FDCWD, path.c_str(), long_ago, 0);
  const std::string first = cache.fingerprint(path);
  CHECK(first == file_fingerprint(path));
  f.folder.write("a", "two");
  CHECK(cache.fingerprint(path) == file_fingerprint(path));
  // Just written: not yet trusted.
  f.folder.write("a", "six");
  CHECK(cache.fingerprint(path) == file_fingerprint(path));
  for (const auto& entry : fs::directory_iterator(f.cache() + "/files"))
    write_file_atomic(entry.path().string(), "{");
  CHECK(cache.fingerprint(path) == file_fingerprint(path));
}

TEST_CASE("encoded records: examples come back as they were encoded, by any number of threads") {
  const Folder f;
  FakeTokenizer tokenizer{{"<s>", "</s>", "<|im_start|>", "<|im_end|>"}, {"ab"}};
  tokenizer.eos_ = *tokenizer.id("</s>");
  const ChatTemplate chatml{"chatml"};
  EncodeSettings settings;
  settings.max_tokens = 30;
  settings.overlong = "drop";
  const RecordEncoder encoder(tokenizer, &chatml, settings);
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += i % 3 == 0 ? numbered_line(i, i % 50)
            : i % 3 == 1
                ? R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "ab)" +
                      std::string(i % 9, 'c') + R"("}]})"
                : "{\"text\": \"</s> ab" + std::to_string(i) + "\"}";
    text += "\n";
  }
  const std::string path = f.folder.write("a.jsonl", text);
  const Records records = f.open({path});
  const std::vector<Record> held = read_data({path});
  const Encoding encoding{tokenizer, encoder, settings, "key"};
  const auto make = [&](const Record& record) {
    const Example example = encoder.supervised(record);
    return EncodedRecord{example.ids.empty() ? "" : example_bytes(example),
                         static_cast<uint8_t>(example.ids.empty() ? 0 : 1)};
  };
  for (int start = 0; start < 2; ++start) {
    const EncodedRecords stored(records, "examples", "key", DataCache(f.cache()), make);
    size_t dropped = 0;
    for (size_t i = 0; i < held.size(); ++i) {
      const Example want = encoder.supervised(held[i]);
      CHECK(stored.flags(records.place(i)) == (want.ids.empty() ? 0 : 1));
      dropped += want.ids.empty() ? 1 : 0;
      if (want.ids.empty()) continue;
      const Example got = example_of(stored.bytes(records.place(i)));
      CHECK(got.ids == want.ids);
      CHECK(got.target == want.target);
      CHECK(got.prompt_tokens == want.prompt_tokens);
      CHECK(got.prefix_begin == want.prefix_begin);
      CHECK(got.prefix_tokens == want.prefix_tokens);
    }
    CHECK(dropped > 0);
    CHECK(large_remarks(records, encoding, DataCache(f.cache())) == encoder.remarks(held));
    CHECK_FALSE(encoder.remarks(held).empty());
  }
  CHECK(f.kept("examples").size() == 1);
  CHECK(f.kept("looks").size() == 1);
  // Another key, another file; an error is that of the first record that has one.
  EncodedRecords(records, "examples", "other", DataCache(f.cache()), make);
  CHECK(f.kept("examples").size() == 2);
  CHECK(problem([&] {
          EncodedRecords(records, "examples", "bad", DataCache(f.cache()), [&](const Record& record) {
            if (record.line >= 600) user_error("{}", record.where());
            return make(record);
          });
        }) == path + ":600");
  CHECK(f.kept("examples").size() == 2);
}

TEST_CASE("encoded records: answers, and targets of any runs") {
  for (const std::vector<bool>& target :
       {std::vector<bool>{}, {true}, {false}, {false, true, true}, {true, false, true, false}}) {
    const Answer answer{{1, 200, 100000}, std::vector<int64_t>(target.size(), 5), target};
    std::string bytes;
    put_answer(bytes, answer);
    put_answer(bytes, {});
    size_t at = 0;
    const Answer back = take_answer(bytes, at);
    CHECK(back.prompt == answer.prompt);
    CHECK(back.completion == answer.completion);
    CHECK(back.target == target);
    CHECK(take_answer(bytes, at).completion.empty());
    CHECK(at == bytes.size());
  }
}

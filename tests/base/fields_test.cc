#include "base/fields.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

struct Part : Fields {
  int64_t rank = 16;
  std::string file;
  void fields(FieldVisitor& v) override {
    v.field("rank", rank, {.help = "rank of the update", .min = 1, .max = 64});
    v.field("file", file, {.help = "a file", .path = true});
  }
};

struct Shape : Fields {};
struct Circle : Shape {
  double radius = 1.0;
  void fields(FieldVisitor& v) override {
    v.field("radius", radius, {.help = "radius", .unit = "m", .min = 0});
  }
};
struct Box : Shape {
  double width = 2.0, height = 3.0;
  void fields(FieldVisitor& v) override {
    v.field("width", width, {.help = "width", .unit = "m"});
    v.field("height", height, {.help = "height", .unit = "m"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (height < width) problems.push_back(where + ": height is below width, and a box must stand upright");
  }
};

const Registry<Shape>& shapes() {
  static const Registry<Shape> registry = [] {
    Registry<Shape> r("shape");
    r.add({"circle", "round", "Euclid", [] { return std::make_unique<Circle>(); }});
    r.add({"box", "not round", "Euclid", [] { return std::make_unique<Box>(); }});
    return r;
  }();
  return registry;
}

struct Item : Fields {
  std::string kind;
  double weight = 1.0;
  std::unique_ptr<Shape> shape;
  void fields(FieldVisitor& v) override {
    v.choice_here("kind", shape, kind, shapes());
    v.field("weight", weight, {.help = "weight"});
  }
};

struct Config : Fields {
  int64_t seed = 1;
  double rate = 0.5;
  bool fast = false;
  std::string task = "sft";
  std::vector<std::string> files;
  std::vector<double> betas = {0.9, 0.95};
  std::optional<double> cap;
  std::optional<int64_t> limit;
  Part part;
  std::string shape_name = "circle";
  std::unique_ptr<Shape> shape;
  std::vector<Item> items;
  Json extra = Json::object();
  void fields(FieldVisitor& v) override {
    v.field("seed", seed, {.help = "seed", .min = 0, .max = 0x1p63});
    v.field("rate", rate, {.help = "learning rate", .unit = "1/step", .min = 0, .max = 1});
    v.field("fast", fast, {.help = "hurry"});
    v.field("task", task, {.help = "what to do", .choices = {"sft", "rl", "preference"}});
    v.field("files", files, {.help = "inputs", .path = true});
    v.field("betas", betas, {.help = "betas", .min = 0, .max = 1});
    v.field("cap", cap, {.help = "cap", .min = 0});
    v.field("limit", limit, {.help = "limit", .min = 0});
    v.section("part", part, "a part");
    v.choice("shape", "name", shape, shape_name, shapes(), "the shape");
    v.list("items", items, "several shapes");
    v.field("extra", extra, {.help = "anything"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (fast && rate > 0.9) problems.push_back("rate: above 0.9 does not go with fast");
  }
};

struct Needy : Shape {
  std::string file;
  void fields(FieldVisitor& v) override { v.field("file", file, {.help = "a file", .required = true}); }
};

struct Needing : Fields {
  std::string name;
  std::unique_ptr<Shape> kind;
  void fields(FieldVisitor& v) override {
    static const Registry<Shape> registry =
        Registry<Shape>("kind").add({"needy", "", "", [] { return std::make_unique<Needy>(); }});
    v.choice("kind", "name", kind, name, registry, "what it is");
  }
};

std::string problems_of(const std::string& text) {
  Config config;
  try {
    read_fields(config, parse_json(text, "c.json"), "c.json", "");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

std::string config_problems(const std::string& path, const std::vector<std::string>& sets = {}) {
  Config config;
  try {
    read_config_file(config, path, sets);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

int lines(const std::string& text) {
  return text.empty() ? 0 : 1 + static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("fields: every kind of value is read") {
  Config c;
  read_fields(c,
              parse_json(R"({"seed": 7, "rate": 0.25, "fast": true, "task": "rl", "files": ["a", "/b"],
      "betas": [0, 1], "cap": 3, "limit": 4, "part": {"rank": 2, "file": "x/../y"},
      "shape": {"name": "box", "width": 1}, "extra": {"free": [1, null]},
      "items": [{"kind": "circle", "radius": 4, "weight": 0.5}, {"kind": "box", "height": 9}]})",
                         "c.json"),
              "c.json", "/base");
  CHECK(c.seed == 7);
  CHECK(c.rate == 0.25);
  CHECK(c.fast);
  CHECK(c.task == "rl");
  CHECK(c.files == std::vector<std::string>{"/base/a", "/b"});
  CHECK(c.betas == std::vector<double>{0, 1});
  CHECK(c.cap == 3.0);
  CHECK(c.limit == 4);
  CHECK(c.part.rank == 2);
  CHECK(c.part.file == "/base/y");
  CHECK(c.shape_name == "box");
  REQUIRE(dynamic_cast<Box*>(c.shape.get()) != nullptr);
  CHECK(dynamic_cast<Box&>(*c.shape).width == 1);
  CHECK(dynamic_cast<Box&>(*c.shape).height == 3);
  REQUIRE(c.items.size() == 2);
  CHECK(dynamic_cast<Circle&>(*c.items[0].shape).radius == 4);
  CHECK(c.items[0].weight == 0.5);
  CHECK(dynamic_cast<Box&>(*c.items[1].shape).height == 9);
  CHECK(c.items[1].weight == 1.0);
}

TEST_CASE("fields: all problems of a file are reported together, each with its path") {
  const std::string text =
      problems_of(R"({"sed": 1, "rate": 2, "fast": 1, "task": "preferences", "files": [1],
      "betas": [0.5, 3], "cap": "x", "limit": 1.5, "part": {"rank": 0, "rnak": 3},
      "shape": {"name": "cirle", "radius": 2}, "items": [{"kind": "box", "width": 9}, {"weight": 1}, 5,
      {"kind": "circle", "radios": 1}]})");
  CAPTURE(text);
  CHECK(has(text, "c.json: sed: unknown key; did you mean \"seed\"?"));
  CHECK(has(text, "c.json: rate: expected 0 to 1 1/step, found 2"));
  CHECK(has(text, "c.json: fast: expected true or false, found 1"));
  CHECK(has(text,
            "c.json: task: expected one of sft, rl, preference, found \"preferences\"; did you mean "
            "\"preference\"?"));
  CHECK(has(text, "c.json: files: expected an array of strings"));
  CHECK(has(text, "c.json: betas: expected 0 to 1, found 3"));
  CHECK(has(text, "c.json: cap: expected a number, found \"x\""));
  CHECK(has(text, "c.json: limit: expected an integer, found 1.5"));
  CHECK(has(text, "c.json: part.rank: expected 1 to 64, found 0"));
  CHECK(has(text, "c.json: part.rnak: unknown key; did you mean \"rank\"?"));
  CHECK(has(text,
            "c.json: shape.name: expected one of circle, box, found \"cirle\"; did you mean \"circle\"?"));
  CHECK(has(text, "c.json: items.0: height is below width"));
  CHECK(has(text, "c.json: items.1.kind: missing; expected one of circle, box"));
  CHECK(has(text, "c.json: items.2: expected an object, found 5"));
  CHECK(has(text, "c.json: items.3.radios: unknown key; did you mean \"radius\"?"));
  CHECK_FALSE(has(text, "radius: unknown"));  // beside an unknown name, other keys cannot be judged
  CHECK(lines(text) == 15);
}

TEST_CASE("fields: integers keep their 64 bits, doubles stand for integers only when whole") {
  Config c;
  read_fields(c, parse_json(R"({"seed": 9223372036854775807})", "c"), "c", "");
  CHECK(c.seed == INT64_MAX);
  read_fields(c, parse_json(R"({"seed": 1e3})", "c"), "c", "");
  CHECK(c.seed == 1000);
  CHECK(has(problems_of(R"({"seed": 18446744073709551615})"), "an integer below 2^63"));
  CHECK(has(problems_of(R"({"seed": -1})"), "seed: expected 0 to 9.223372036854776e+18, found -1"));
  CHECK(has(problems_of(R"({"seed": "1"})"), "an integer"));
  CHECK(has(problems_of(R"([1])"), "expected an object, found [1]"));
}

TEST_CASE("fields: an integer without a maximum of its own has one all the same") {
  CHECK(problems_of(R"({"limit": 2147483647})").empty());
  CHECK(has(problems_of(R"({"limit": 2147483648})"), "limit: expected 0 to 2147483647, found 2147483648"));
  CHECK(has(problems_of(R"({"limit": 1e300})"), "limit: expected an integer"));
  for (const Json& row : describe_fields(Config())) {
    if (row["name"] == "limit") CHECK(row["max"] == kMaxCount);
  }
}

TEST_CASE("limits: products of counts") {
  CHECK(product("p", {}) == 1);
  CHECK(product("p", {kMaxCount, 1 << 20}) == kMaxCount << 20);
  CHECK(product("p", {kMaxCount, kMaxCount, 0}) == 0);
  CHECK_THROWS_WITH(product("bytes of it", {kMaxCount, kMaxCount, 2}),
                    "bytes of it: 2147483647 x 2147483647 x 2 is more than 2^60; is one of them a slip?");
}

TEST_CASE("fields: null clears what may be absent, and only that") {
  Config c;
  c.cap = 2.0;
  read_fields(c, parse_json(R"({"cap": null})", "c"), "c", "");
  CHECK_FALSE(c.cap.has_value());
  CHECK(has(problems_of(R"({"rate": null})"), "rate: expected a number, found null"));
}

TEST_CASE("fields: rules that span fields") {
  CHECK(problems_of(R"({"fast": true, "rate": 0.95})") == "c.json: rate: above 0.9 does not go with fast");
  CHECK(problems_of(R"({"fast": true, "rate": 0.9})").empty());
}

TEST_CASE("fields: what was only half read is not checked across its fields") {
  const std::string rate = problems_of(R"({"fast": true, "rate": 0.95, "items": ["x"]})");
  CHECK(rate == "c.json: items.0: expected an object, found \"x\"");
  CHECK(lines(problems_of(R"({"items": [{"kind": "box", "width": 9, "height": "x"}]})")) == 1);
  CHECK(lines(problems_of(R"({"shape": {"name": "box", "width": 9, "height": null}})")) == 1);
  // An unknown key leaves nothing unread.
  CHECK(lines(problems_of(R"({"fast": true, "rate": 0.95, "sed": 1})")) == 2);
  CHECK(has(problems_of(R"({"items": {"0": {}}})"), "items: expected an array of objects"));
}

TEST_CASE("fields: a dump read back dumps the same") {
  Config a;
  read_fields(a,
              parse_json(R"({"seed": 3, "rate": 0.1, "cap": 0.30000000000000004, "shape": {"name": "box"},
      "items": [{"kind": "circle", "radius": 0.1}, {"kind": "box", "weight": 2}], "extra": [1, {"b": 2}]})",
                         "c"),
              "c", "");
  const Json first = dump_fields(a);
  CHECK(first["items"][0] == parse_json(R"({"kind": "circle", "radius": 0.1, "weight": 1.0})", "x"));
  CHECK(first["items"][1]["kind"] == "box");
  Config b;
  read_fields(b, parse_json(dump_line(first), "d"), "d", "");
  CHECK(dump_line(dump_fields(b)) == dump_line(first));
  CHECK(b.cap == a.cap);
}

TEST_CASE("fields: the description lists types, ranges and choices") {
  const Json rows = describe_fields(Config());
  auto row = [&](const std::string& name) {
    for (const Json& r : rows) {
      if (r["name"] == name) return r;
    }
    return Json();
  };
  CHECK(row("rate")["type"] == "number");
  CHECK(row("rate")["max"] == 1.0);
  CHECK(row("rate")["unit"] == "1/step");
  CHECK(row("task")["choices"].size() == 3);
  CHECK(row("part")["fields"][0]["name"] == "rank");
  CHECK(row("shape")["fields"][0]["choices"] == parse_json(R"(["circle", "box"])", "x"));
  CHECK(describe_fields(Item())[0]["name"] == "kind");
  CHECK(describe_fields(Item())[0]["choices"].size() == 2);
  CHECK(describe_fields(Item())[1]["name"] == "weight");
}

TEST_CASE("fields: a string stands for the tag of a choice") {
  Config c;
  read_fields(c, parse_json(R"({"shape": "box"})", "c"), "c", "");
  CHECK(c.shape_name == "box");
  REQUIRE(dynamic_cast<Box*>(c.shape.get()) != nullptr);
  CHECK(dump_fields(c)["shape"] == parse_json(R"({"name": "box", "width": 2.0, "height": 3.0})", "x"));
  CHECK(has(problems_of(R"({"shape": "bux"})"), "c.json: shape.name: expected one of circle, box"));
  CHECK(has(problems_of(R"({"shape": "bux"})"), "did you mean \"box\"?"));
  CHECK(has(problems_of(R"({"shape": 3})"), "shape: expected an object, found 3"));
  CHECK(has(problems_of(R"({"part": "box"})"), "part: expected an object, found \"box\""));

  TempFolder folder;
  folder.write("base.json", R"({"shape": {"name": "box", "width": 2.5}})");
  const std::string same = folder.write("same.json", R"({"extends": "base.json", "shape": "box"})");
  Config layered;
  read_config_file(layered, same, {"shape.height=4"});
  CHECK(dynamic_cast<Box&>(*layered.shape).width == 2.5);
  CHECK(dynamic_cast<Box&>(*layered.shape).height == 4);
  Config other;
  read_config_file(other, same, {"shape=circle"});
  CHECK(other.shape_name == "circle");
}

TEST_CASE("fields: a required field that a lower layer gave, behind a choice that is a string") {
  TempFolder folder;
  folder.write("base.json", R"({"kind": {"name": "needy", "file": "x"}})");
  const std::string file = folder.write("c.json", R"({"extends": "base.json", "kind": "needy"})");
  Needing config;
  read_config_file(config, file);
  CHECK(dynamic_cast<Needy&>(*config.kind).file == "x");
  Needing bare;
  CHECK_THROWS_WITH_AS(read_fields(bare, parse_json(R"({"kind": "needy"})", "c"), "c", ""),
                       doctest::Contains("kind.file: missing; a file"), UserError);
}

TEST_CASE("fields: a name cannot be registered twice") {
  Registry<Shape> r("shape");
  r.add({"a", "", "", [] { return std::make_unique<Circle>(); }});
  CHECK_THROWS_AS(r.add({"a", "", "", [] { return std::make_unique<Circle>(); }}), std::logic_error);
}

TEST_CASE("fields: nearest name") {
  CHECK(nearest_name("tempurature", {"top_p", "temperature"}) == "temperature");
  CHECK(nearest_name("zzz", {"temperature"}).empty());
  CHECK(nearest_name("", {}).empty());
}

TEST_CASE("config files: layers, relative paths, --set") {
  TempFolder folder;
  std::filesystem::create_directories(folder / "sub");
  folder.write("base.json",
               R"({"seed": 5, "rate": 0.2, "part": {"rank": 3, "file": "w.bin"}, "files": ["one"],
      "items": [{"kind": "circle", "radius": 2}, {"kind": "box"}]} // the base)");
  folder.write("sub/top.json",
               R"({"extends": "../base.json", /* nearer wins */ "rate": 0.3, "part": {"rank": 4},
      "shape": {"name": "box", "width": 1}})");
  Config c;
  read_config_file(c, (folder / "sub/top.json").string());
  CHECK(c.seed == 5);
  CHECK(c.rate == 0.3);
  CHECK(c.part.rank == 4);
  CHECK(c.part.file == (folder / "w.bin").string());  // relative to the layer that says it
  CHECK(c.files == std::vector<std::string>{(folder / "one").string()});
  CHECK(c.shape_name == "box");

  Config d;
  read_config_file(d, (folder / "sub/top.json").string(),
                   {"seed=9", "part.rank=7", "task=rl", "items.1.height=8", "items.0.radius=0.5",
                    "betas=[0.1]", "files=out.txt", "shape.width=2.5"});
  CHECK(d.seed == 9);
  CHECK(d.part.rank == 7);
  CHECK(d.task == "rl");
  CHECK(dynamic_cast<Box&>(*d.items[1].shape).height == 8);
  CHECK(dynamic_cast<Circle&>(*d.items[0].shape).radius == 0.5);
  CHECK(d.betas == std::vector<double>{0.1});
  CHECK(d.files == std::vector<std::string>{"out.txt"});  // relative to the working folder
  CHECK(dynamic_cast<Box&>(*d.shape).width == 2.5);

  const std::string top = (folder / "sub/top.json").string();
  CHECK(has(config_problems(top, {"sed=1"}), "--set: sed: unknown key; did you mean \"seed\"?"));
  CHECK(has(config_problems(top, {"items.7.radius=1"}), "no such array element"));
  CHECK(has(config_problems(top, {"seed"}), "expected a.b=VALUE"));
  CHECK(has(config_problems(top, {"seed=1", "seed.x=2"}), "set to a value, not an object"));
  CHECK(has(config_problems(top, {"rate=7", "part.rank=0"}), "part.rank"));
}

TEST_CASE("config files: every layer's problems at once, in one error") {
  TempFolder folder;
  folder.write("a.json", R"({"sedd": 5})");
  folder.write("b.json", R"({"extends": ["a.json"], "rate": 4})");
  const std::string text = config_problems((folder / "b.json").string(), {"limit=x"});
  CAPTURE(text);
  CHECK(has(text, "a.json: sedd: unknown key"));
  CHECK(has(text, "b.json: rate: expected 0 to 1"));
  CHECK(has(text, "--set: limit: expected an integer"));
  CHECK(lines(text) == 3);
}

TEST_CASE("config files: lists of a lower layer are complete, and half-read layers are not checked") {
  TempFolder folder;
  folder.write("items.json", R"({"items": [{}, "x", {"kind": "box", "width": 9}]})");
  folder.write("top.json", R"({"extends": "items.json", "fast": true, "rate": 0.95})");
  for (const std::string& text : {config_problems((folder / "items.json").string(), {"seed=2"}),
                                  config_problems((folder / "top.json").string())}) {
    CAPTURE(text);
    CHECK(has(text, "items.json: items.0.kind: missing; expected one of circle, box"));
    CHECK(has(text, "items.json: items.1: expected an object, found \"x\""));
    CHECK(has(text, "items.json: items.2: height is below width"));
    CHECK(lines(text) == 3);
  }
}

TEST_CASE("config files: --set is bounded as a file is") {
  TempFolder folder;
  folder.write("a.json", "{}");
  const auto set = [&](const std::string& text) {
    return config_problems((folder / "a.json").string(), {text});
  };
  const auto times = [](const std::string& text, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text;
    return out;
  };
  CHECK(has(set("extra=" + times("[", 60000) + times("]", 60000)),
            "--set extra: nested deeper than 512 levels"));
  CHECK(set("extra=" + times("[", 400) + times("]", 400)).empty());
  CHECK(has(set(times("a.", 60000) + "b=1"), "more than 64 parts"));
  CHECK(set(times("a.", 60000) + "b=1").size() < 200);
  CHECK(has(set(R"(extra={"a": 1, "a": 2})"), "the key \"a\" stands twice in one object"));
  CHECK(has(set("task=\xff"), "not valid UTF-8"));
  CHECK(has(set("ta\xffsk=sft"), "not valid UTF-8"));
  CHECK(has(set("rate=1e999"), "rate: expected a number, found \"1e999\""));
  CHECK(has(set("task=[sft"), "task: expected one of sft, rl, preference, found \"[sft\""));
  // Into an array that another --set gave.
  Config c;
  read_config_file(c, (folder / "a.json").string(), {R"(items=[{"kind": "box"}])", "items.0.height=7"});
  CHECK(dynamic_cast<Box&>(*c.items.at(0).shape).height == 7);
}

TEST_CASE("config files: bounds") {
  TempFolder folder;
  folder.write("long.json", std::string(kMaxConfigBytes, ' ') + "{}");
  CHECK(has(config_problems((folder / "long.json").string()), "larger than the 4194304 bytes allowed here"));
  folder.write("0.json", "{}");
  for (int i = 1; i < 10; ++i) {
    const std::string base = "\"" + std::to_string(i - 1) + ".json\"";
    folder.write(std::to_string(i) + ".json", "{\"extends\": [" + base + ", " + base + "]}");
  }
  CHECK(has(config_problems((folder / "9.json").string()), "adds up to more than 100 files"));
  std::string many = "{";
  for (int i = 0; i < 500; ++i) many += "\"a" + std::to_string(i) + "\": 1, ";
  folder.write("many.json", many + "\"seed\": 1}");
  const std::string text = config_problems((folder / "many.json").string());
  CHECK(lines(text) == 101);
  CHECK(has(text, "\nand 400 more"));
  CHECK(has(config_problems((folder / "0.json").string() + std::string(5000, 'x')), "cannot open"));
}

TEST_CASE("config files: a circle, a missing base, a base of the wrong type") {
  TempFolder folder;
  folder.write("a.json", R"({"extends": "b.json"})");
  folder.write("b.json", R"({"extends": "a.json"})");
  CHECK(has(config_problems((folder / "a.json").string()), "circle"));
  folder.write("c.json", R"({"extends": "none.json"})");
  CHECK(has(config_problems((folder / "c.json").string()), "none.json"));
  folder.write("d.json", R"({"extends": 3})");
  CHECK(has(config_problems((folder / "d.json").string()), "expected a file name, found 3"));
  folder.write("e.json", "[]");
  CHECK(has(config_problems((folder / "e.json").string()), "expected an object"));
  CHECK(has(config_problems((folder / "nowhere.json").string()), "cannot open"));
}

// A config file, or {"file": ..., "base": ..., "sets": [...]}, read into fields of every type. What was read
// is written and read again, unchanged.
#include "base/fields.h"
#include "fuzz.h"

using namespace temper;

namespace {

struct Kind : Fields {
  virtual double size() const = 0;
};
struct Low : Kind {
  int64_t rank = 16;
  double lr = 0.1;
  void fields(FieldVisitor& v) override {
    v.field("rank", rank, {.help = "rank", .min = 1, .max = 1000});
    v.field("lr", lr, {.help = "rate", .min = 0});
  }
  double size() const override { return static_cast<double>(rank); }
};
struct High : Kind {
  std::optional<double> x;
  std::optional<int64_t> y;
  std::vector<double> weights;
  void fields(FieldVisitor& v) override {
    v.field("x", x, {.help = "x"});
    v.field("y", y, {.help = "y"});
    v.field("weights", weights, {.help = "weights", .max = 1e6});
  }
  double size() const override { return x.value_or(0); }
};

const Registry<Kind>& kinds() {
  static const Registry<Kind> registry = [] {
    Registry<Kind> r("kind");
    r.add({"low", "", "", [] { return std::make_unique<Low>(); }});
    r.add({"high", "", "", [] { return std::make_unique<High>(); }});
    return r;
  }();
  return registry;
}

// Its check looks into what must be there, as those of the real sections do.
struct Item : Fields {
  double weight = 1;
  std::string name;
  std::unique_ptr<Kind> kind;
  void fields(FieldVisitor& v) override {
    v.field("weight", weight, {.help = "weight"});
    v.choice_here("kind", kind, name, kinds());
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (kind->size() < 0) problems.push_back(where + ": below nothing");
  }
};
struct Part : Fields {
  bool on = false;
  std::vector<std::string> paths;
  std::string choice = "one";
  std::vector<Item> also;
  void fields(FieldVisitor& v) override {
    v.field("on", on, {.help = "on"});
    v.field("paths", paths, {.help = "paths", .path = true});
    v.field("choice", choice, {.help = "choice", .choices = {"one", "two"}});
    if (choice == "two") v.list("also", also, "items");
  }
};
struct Whole : Fields {
  std::string task, kind_name = "low";
  int64_t steps = 1;
  Part part;
  std::unique_ptr<Kind> kind;
  std::vector<Item> rewards;
  Json any;
  void fields(FieldVisitor& v) override {
    v.field("task", task, {.help = "task", .required = true});
    v.field("steps", steps, {.help = "steps", .min = 1});
    v.section("part", part, "part");
    v.choice("optimizer", "name", kind, kind_name, kinds(), "kind");
    v.list("rewards", rewards, "items");
    v.field("any", any, {.help = "any"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    double size = kind->size();
    for (const Item& item : rewards) size += item.kind->size();
    for (const Item& item : part.also) size += item.kind->size();
    if (size < 0) problems.push_back("rewards: below nothing");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(fuzz::text_of(data, size));
  std::vector<std::string> sets;
  const Json json = Json::parse(text, nullptr, false, true);
  if (json.is_object() && json.contains("file")) {
    for (const Json& set : json.value("sets", Json::array()))
      if (set.is_string()) sets.push_back(set);
    fuzz::scratch().write("base.json", fuzz::dumped(json.value("base", Json::object())));
    text = fuzz::dumped(json["file"]);
  }
  const std::string path = fuzz::scratch().write("c.json", text);
  fuzz::reads([&] {
    Whole first;
    read_config_file(first, path, sets);
    const Json dump = dump_fields(first);
    Whole second;
    read_fields(second, dump, "again", "");
    if (dump_fields(second) != dump) fuzz::finding("read again it is another: " + dump_line(dump));
    describe_fields(first);
  });
  return 0;
}

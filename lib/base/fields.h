// Config structs list their fields once, in `void fields(FieldVisitor&)`; parsing, defaults, --set,
// validation, the dump and the docs all visit that list.
//
//   struct LoraOptions : Fields {
//     int64_t rank = 16;
//     void fields(FieldVisitor& v) override { v.field("rank", rank, {.help = "rank of the update", .min =
//     1}); }
//   };
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

struct FieldInfo {
  std::string help;
  std::string unit = {};                     // "tokens", "steps", "" ...
  std::optional<double> min = {}, max = {};  // inclusive
  std::vector<std::string> choices = {};     // for strings: the allowed values
  bool required = false;                     // must be given by the user
  bool path = false;  // strings: relative to the folder of the config file that holds it
};

class FieldVisitor;

// A part of a config that is read by itself later, as the config of something else.
struct ConfigPart {
  std::shared_ptr<const Json> json;  // an object; null: not given
  std::string folder;                // what its relative paths are relative to
};

struct Fields {
  virtual ~Fields() = default;
  virtual void fields(FieldVisitor& v) = 0;
  // Rules that span fields; each problem is a line that says why. `where` is the section's dotted path.
  virtual void check(std::vector<std::string>& problems, const std::string& where) const {}
};

// One explicit list of the named kinds of something ("loss", "adapter" ...). A second entry of a name is an
// error.
template <class Base>
class Registry {
 public:
  struct Entry {
    std::string name, summary, source;  // what it does in one line; paper or code it comes from
    std::function<std::unique_ptr<Base>()> make;
  };
  explicit Registry(std::string kind) : kind_(std::move(kind)) {}
  Registry& add(Entry entry);  // throws std::logic_error on a name that is there already
  const std::string& kind() const { return kind_; }
  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* find(const std::string& name) const;
  std::vector<std::string> names() const;

 private:
  std::string kind_;
  std::vector<Entry> entries_;
};

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void field(const char* name, bool& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, int64_t& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, double& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, std::string& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, std::vector<std::string>& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, std::vector<double>& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, std::optional<double>& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, std::optional<int64_t>& value, const FieldInfo& info) = 0;
  virtual void field(const char* name, Json& value,
                     const FieldInfo& info) = 0;  // anything, passed on as it is
  virtual void field(const char* name, ConfigPart& value, const FieldInfo& info) = 0;

  // A nested object.
  void section(const char* name, Fields& value, const std::string& help);

  // An object whose `tag` key ("kind", "name") picks the struct; null when the section may be left out and
  // is. A string stands for {tag: string}.
  template <class Base>
  void choice(const char* name, const char* tag, std::unique_ptr<Base>& value, std::string& value_name,
              const Registry<Base>& registry, const std::string& help);

  // The same without an object of its own: the tag and the picked struct's fields stand among the fields of
  // the object that is being visited ({"kind": "math", "weight": 1, ...the kind's own}). Call it once per
  // object.
  template <class Base>
  void choice_here(const char* tag, std::unique_ptr<Base>& value, std::string& value_name,
                   const Registry<Base>& registry);

  // An array of objects of one kind.
  template <class T>
  void list(const char* name, std::vector<T>& values, const std::string& help);

 protected:
  // The hooks behind section, choice and list; the visitor says whether to go inside.
  virtual bool enter(const char* name, const std::string& help) = 0;
  virtual bool enter_choice(const char* name, const char* tag, const std::string& help) {
    return enter(name, help);
  }
  virtual void leave() = 0;
  virtual void after_fields(Fields& value) {}
  // The tag's value to use: what the file says, or `current`. Empty: leave the section out.
  virtual std::string pick(const char* tag, const std::string& current,
                           const std::vector<std::string>& names) = 0;
  virtual bool replaces_lists() const { return false; }
  virtual bool enter_list(const char* name, const std::string& help, size_t current, size_t& count) = 0;
  virtual void enter_item(size_t index) = 0;
  virtual void leave_item() = 0;
  virtual void leave_list() = 0;
};

// Reads `json` into `value`. Every problem of the file (unknown keys with the nearest known one, wrong types,
// values out of range, broken cross-field rules) is collected and reported in one UserError, one line each.
// `base_folder`: what relative paths are relative to.
void read_fields(Fields& value, const Json& json, const std::string& where, const std::string& base_folder);

// The same of several layers, the lowest first: a nearer one's values win, and what is not there in any is at
// its default.
struct ConfigLayer;
void read_layers(Fields& value, const std::vector<ConfigLayer>& layers);

// All values, defaults included, in field order.
Json dump_fields(const Fields& value);

// For `temper-inspect list`: [{"name","type","default","help","unit","min","max","choices"}...], sections
// nested.
Json describe_fields(const Fields& value);

// Reads a config file: comments, "extends" layers (a string or an array; the nearer file wins), `--set
// a.b=VALUE` overrides last (VALUE is JSON if it parses, else a string; a.0.b indexes arrays). Paths in a
// layer are relative to the file that holds them, paths in --set to the working folder. Throws UserError with
// every problem found.
void read_config_file(Fields& value, const std::string& path, const std::vector<std::string>& sets = {});

// The known name that is nearest to `name` by edit distance, or "" when none is near.
std::string nearest_name(const std::string& name, const std::vector<std::string>& known);

}  // namespace temper

#include "base/fields_inl.h"

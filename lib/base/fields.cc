#include "base/fields.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <deque>
#include <set>

#include "base/config_layers.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hub.h"
#include "base/json.h"
#include "base/limits.h"

namespace temper {

void FieldVisitor::section(const char* name, Fields& value, const std::string& help) {
  if (!enter(name, help)) return;
  value.fields(*this);
  after_fields(value);
  leave();
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t substitute = diagonal + (name[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    if (row[candidate.size()] < best_distance) {
      best_distance = row[candidate.size()];
      best = candidate;
    }
  }
  return best;
}

namespace {

std::string join(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + item;
  return out;
}

std::string shown(const Json& value) {
  std::string text = dump_line(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// ---------------------------------------------------------------------------------------------- reading

class Reader : public FieldVisitor {
 public:
  // partial: a lower layer of several, so nothing is missing yet and rules that span fields wait. Not so
  // within lists: the nearest layer that gives one gives all of it.
  // sound: all values of the layers below were read.
  // given: keys that some layer gave, for `required`.
  Reader(const Json& root, std::string where, std::string folder, bool partial, bool sound, const Json* given)
      : where_(std::move(where)), partial_(partial), sound_(sound) {
    frames_.reserve(16);
    given_.push_back(given);
    frames_.push_back({&root, "", std::move(folder), {}});
    if (!root.is_object()) unread("", fmt::format("expected an object, found {}", shown(root)));
  }

  void field(const char* name, bool& value, const FieldInfo& info) override {
    if (const Json* j = take(name, info)) {
      if (j->is_boolean())
        value = j->get<bool>();
      else
        wrong(name, "true or false", *j);
    }
  }
  void field(const char* name, int64_t& value, const FieldInfo& info) override {
    if (const Json* j = take(name, info)) read_integer(name, *j, info, value);
  }
  void field(const char* name, double& value, const FieldInfo& info) override {
    if (const Json* j = take(name, info)) read_number(name, *j, info, value);
  }
  void field(const char* name, std::string& value, const FieldInfo& info) override {
    const Json* j = take(name, info);
    if (j == nullptr) return;
    if (!j->is_string()) return wrong(name, "a string", *j);
    std::string text = j->get<std::string>();
    if (!info.choices.empty() &&
        std::find(info.choices.begin(), info.choices.end(), text) == info.choices.end()) {
      return wrong(name, "one of " + join(info.choices), *j, nearest_name(text, info.choices));
    }
    // A field called "path" is a model's folder, or its name on the hub.
    value = !info.path ? text : std::string(name) == "path" ? resolve_model(text) : resolve(text);
  }
  void field(const char* name, std::vector<std::string>& value, const FieldInfo& info) override {
    const Json* j = take(name, info);
    if (j == nullptr) return;
    if (j->is_string()) {
      value = {info.path ? resolve(j->get<std::string>()) : j->get<std::string>()};
      return;
    }
    if (!j->is_array() || !std::all_of(j->begin(), j->end(), [](const Json& x) { return x.is_string(); })) {
      return wrong(name, "an array of strings", *j);
    }
    value.clear();
    for (const Json& item : *j)
      value.push_back(info.path ? resolve(item.get<std::string>()) : item.get<std::string>());
  }
  void field(const char* name, std::vector<double>& value, const FieldInfo& info) override {
    const Json* j = take(name, info);
    if (j == nullptr) return;
    if (!j->is_array()) return wrong(name, "an array of numbers", *j);
    std::vector<double> out(j->size());
    for (size_t i = 0; i < j->size(); ++i) read_number(name, (*j)[i], info, out[i]);
    value = std::move(out);
  }
  void field(const char* name, std::optional<double>& value, const FieldInfo& info) override {
    const Json* j = take(name, info);
    if (j == nullptr) return;
    if (j->is_null()) return value.reset();
    double number = 0;
    if (read_number(name, *j, info, number)) value = number;
  }
  void field(const char* name, std::optional<int64_t>& value, const FieldInfo& info) override {
    const Json* j = take(name, info);
    if (j == nullptr) return;
    if (j->is_null()) return value.reset();
    int64_t number = 0;
    if (read_integer(name, *j, info, number)) value = number;
  }
  void field(const char* name, Json& value, const FieldInfo& info) override {
    if (const Json* j = take(name, info)) value = info.path && j->is_string() ? Json(resolve(*j)) : *j;
  }
  void field(const char* name, ConfigPart& value, const FieldInfo& info) override {
    const Json* j = take(name, info);
    if (j == nullptr) return;
    if (!j->is_object()) return wrong(name, "an object", *j);
    value = {std::make_shared<const Json>(*j), frames_.back().folder};
  }

  // Unknown keys of the outermost object; returns every problem found.
  std::vector<std::string> finish(Fields& value) {
    after_fields(value);
    close_frame();
    return problems_;
  }

  // Whether every value was read; unknown keys stand for none.
  bool sound() const { return unread_ == 0; }

 protected:
  bool enter(const char* name, const std::string&) override {
    const Json* j = take(name, {});
    if (j != nullptr && !j->is_object()) {
      wrong(name, "an object", *j);
      j = nullptr;
    }
    push(j, name);
    return true;
  }
  bool enter_choice(const char* name, const char* tag, const std::string& help) override {
    const Json* j = found(name);
    if (j == nullptr || !j->is_string()) return enter(name, help);
    take(name, {});
    short_forms_.emplace_back(Json::object())[tag] = *j;
    push(&short_forms_.back(), name);
    return true;
  }
  void leave() override { close_frame(); }
  // An object is checked across its fields only when all of them were read: a kind that has no known name is
  // null, and what a value of the wrong type leaves behind is not what the file says.
  void after_fields(Fields& value) override {
    if (items_ == 0 && (partial_ || !sound_)) return;
    if (unread_ > frames_.back().unread_before) return;
    std::vector<std::string> found;
    value.check(found, frames_.back().path);
    for (const std::string& text : found) problems_.push_back(fmt::format("{}: {}", where_, text));
  }
  std::string pick(const char* tag, const std::string& current,
                   const std::vector<std::string>& names) override {
    const Frame& frame = frames_.back();
    if (frame.json == nullptr) return current;
    const Json* j = take(tag, {});
    if (j == nullptr) {
      if (current.empty() && !partial()) unread(tag, "missing; expected one of " + join(names));
      return current;
    }
    if (!j->is_string()) {
      wrong(tag, "a string", *j);
      return current;
    }
    const std::string name = j->get<std::string>();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      wrong(tag, "one of " + join(names), *j, nearest_name(name, names));
      frames_.back().lenient = true;  // its other keys cannot be judged
    }
    return name;
  }
  bool replaces_lists() const override { return true; }
  bool enter_list(const char* name, const std::string&, size_t current, size_t& count) override {
    const Json* j = take(name, {});
    if (j == nullptr) return false;
    if (!j->is_array()) {
      wrong(name, "an array of objects", *j);
      return false;
    }
    count = j->size();
    push(j, name);
    return true;
  }
  void enter_item(size_t index) override {
    const Json& item = (*frames_.back().json)[index];
    const std::string path = fmt::format("{}.{}", frames_.back().path, index);
    std::string folder = frames_.back().folder;
    frames_.push_back({item.is_object() ? &item : nullptr, path, folder, {}, unread_});
    given_.push_back(&item);
    ++items_;
    if (!item.is_object()) unread("", fmt::format("expected an object, found {}", shown(item)));
  }
  void leave_item() override {
    close_frame();
    --items_;
  }
  void leave_list() override {
    frames_.pop_back();
    given_.pop_back();
  }

 private:
  struct Frame {
    const Json* json;  // null: the section was not given
    std::string path, folder;
    std::vector<std::string> known;
    size_t unread_before = 0;  // values not read when it was entered
    bool lenient = false;
  };

  bool partial() const { return partial_ && items_ == 0; }

  void push(const Json* j, const char* name) {
    const Frame& top = frames_.back();
    frames_.push_back({j, top.path.empty() ? name : top.path + "." + name, top.folder, {}, unread_});
    const Json* given = given_.back();
    given_.push_back(given != nullptr && given->is_object() && given->contains(name) ? &given->at(name)
                                                                                     : nullptr);
  }

  const Json* found(const char* name) const {
    const Json* json = frames_.back().json;
    if (json == nullptr || !json->is_object()) return nullptr;
    const auto it = json->find(name);
    return it == json->end() ? nullptr : &*it;
  }

  const Json* take(const char* name, const FieldInfo& info) {
    frames_.back().known.emplace_back(name);
    const Json* json = found(name);
    if (json == nullptr && info.required && !partial()) {
      const Json* given = given_.back();
      if (given == nullptr || !given->is_object() || !given->contains(name))
        unread(name, "missing; " + info.help);
    }
    return json;
  }

  void close_frame() {
    const Frame& frame = frames_.back();
    if (frame.json != nullptr && frame.json->is_object() && !frame.lenient) {
      for (const auto& [key, value] : frame.json->items()) {
        if (std::find(frame.known.begin(), frame.known.end(), key) != frame.known.end()) continue;
        const std::string near = nearest_name(key, frame.known);
        problem(key, near.empty() ? "unknown key; known here: " + join(frame.known)
                                  : fmt::format("unknown key; did you mean \"{}\"?", near));
      }
    }
    frames_.pop_back();
    given_.pop_back();
  }

  bool read_integer(const char* name, const Json& j, const FieldInfo& info, int64_t& value) {
    int64_t number = 0;
    if (j.is_number_unsigned() && j.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      wrong(name, "an integer below 2^63", j);
      return false;
    }
    if (j.is_number_integer()) {
      number = j.get<int64_t>();
    } else if (j.is_number_float() && j.get<double>() == std::floor(j.get<double>()) &&
               std::abs(j.get<double>()) < 9e15) {
      number = static_cast<int64_t>(j.get<double>());
    } else {
      wrong(name, "an integer", j);
      return false;
    }
    FieldInfo range = info;
    if (!range.max) range.max = kMaxCount;
    if (!in_range(name, static_cast<double>(number), j, range)) return false;
    value = number;
    return true;
  }
  bool read_number(const char* name, const Json& j, const FieldInfo& info, double& value) {
    if (!j.is_number()) {
      wrong(name, "a number", j);
      return false;
    }
    const double number = j.get<double>();
    if (!in_range(name, number, j, info)) return false;
    value = number;
    return true;
  }
  bool in_range(const char* name, double number, const Json& j, const FieldInfo& info) {
    const std::string unit = info.unit.empty() ? "" : " " + info.unit;
    if (info.min && info.max && (number < *info.min || number > *info.max)) {
      wrong(name, fmt::format("{} to {}{}", *info.min, *info.max, unit), j);
    } else if (info.min && number < *info.min) {
      wrong(name, fmt::format("at least {}{}", *info.min, unit), j);
    } else if (info.max && number > *info.max) {
      wrong(name, fmt::format("at most {}{}", *info.max, unit), j);
    } else {
      return true;
    }
    return false;
  }

  std::string resolve(const std::string& path) const {
    if (path.empty() || fs::path(path).is_absolute()) return path;
    return (fs::path(frames_.back().folder) / path).lexically_normal().string();
  }

  // A name of the hub that is no path beside the config is the cached folder, or stays as it is where there
  // is none.
  std::string resolve_model(const std::string& text) const {
    const std::string beside = resolve(text);
    std::error_code error;
    if (!is_hub_name(text) || fs::exists(beside, error)) return beside;
    const std::string cached = cached_model(text);
    return cached.empty() ? text : cached;
  }

  void wrong(const char* name, const std::string& expected, const Json& found, const std::string& near = "") {
    unread(name, fmt::format("expected {}, found {}{}", expected, shown(found),
                             near.empty() ? "" : "; did you mean \"" + near + "\"?"));
  }
  void unread(const std::string& name, const std::string& text) {
    ++unread_;
    problem(name, text);
  }
  void problem(const std::string& name, const std::string& text) {
    const std::string& path = frames_.back().path;
    const std::string dotted = path.empty() ? name : name.empty() ? path : path + "." + name;
    problems_.push_back(dotted.empty() ? fmt::format("{}: {}", where_, text)
                                       : fmt::format("{}: {}: {}", where_, dotted, text));
  }

  std::string where_;
  bool partial_, sound_;
  int items_ = 0;      // items of lists that are being read, one within the other
  size_t unread_ = 0;  // values that could not be read
  std::vector<Frame> frames_;
  std::vector<const Json*> given_;
  std::deque<Json> short_forms_;  // of choices that are strings, written out
  std::vector<std::string> problems_;
};

// Notes the keys of a layer beside those of the layers below. A string where those have an object stands for
// the tag of a choice.
void note_given(Json& given, const Json& layer) {
  if (given.is_object() && layer.is_string()) return;
  if (!given.is_object() || !layer.is_object()) {
    given = layer;
    return;
  }
  for (const auto& [key, value] : layer.items()) note_given(given[key], value);
}

void throw_problems(const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  constexpr size_t kShown = 100;
  std::string text;
  for (size_t i = 0; i < std::min(problems.size(), kShown); ++i) text += (i == 0 ? "" : "\n") + problems[i];
  if (problems.size() > kShown) text += fmt::format("\nand {} more", problems.size() - kShown);
  throw UserError(text);
}

}  // namespace

void read_fields(Fields& value, const Json& json, const std::string& where, const std::string& base_folder) {
  Reader reader(json, where, base_folder, false, true, &json);
  if (json.is_object()) value.fields(reader);
  throw_problems(reader.finish(value));
}

void read_config_file(Fields& value, const std::string& path, const std::vector<std::string>& sets) {
  read_layers(value, config_layers(path, sets));
}

void read_layers(Fields& value, const std::vector<ConfigLayer>& layers) {
  Json given = Json::object();
  for (const ConfigLayer& layer : layers) {
    if (layer.json.is_object()) note_given(given, layer.json);
  }
  std::vector<std::string> problems;
  bool sound = true;
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool last = i + 1 == layers.size();
    Reader reader(layers[i].json, layers[i].where, layers[i].folder, !last, sound, &given);
    if (layers[i].json.is_object()) value.fields(reader);
    for (const std::string& problem : reader.finish(value)) problems.push_back(problem);
    sound = sound && reader.sound();
  }
  throw_problems(problems);
}

}  // namespace temper

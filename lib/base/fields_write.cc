#include "base/fields.h"
#include "base/json.h"
#include "base/limits.h"

namespace temper {
namespace {

// Visits without changing anything; writes values (dump) or descriptions (describe).
class Writer : public FieldVisitor {
 public:
  explicit Writer(bool describe) : describe_(describe) {
    stack_.push_back(describe ? Json::array() : Json::object());
  }

  void field(const char* n, bool& v, const FieldInfo& i) override { put(n, "bool", v, i); }
  void field(const char* n, int64_t& v, const FieldInfo& i) override { put(n, "integer", v, i); }
  void field(const char* n, double& v, const FieldInfo& i) override { put(n, "number", v, i); }
  void field(const char* n, std::string& v, const FieldInfo& i) override { put(n, "string", v, i); }
  void field(const char* n, std::vector<std::string>& v, const FieldInfo& i) override {
    put(n, "strings", v, i);
  }
  void field(const char* n, std::vector<double>& v, const FieldInfo& i) override { put(n, "numbers", v, i); }
  void field(const char* n, std::optional<double>& v, const FieldInfo& i) override {
    put(n, "number or null", v ? Json(*v) : Json(nullptr), i);
  }
  void field(const char* n, std::optional<int64_t>& v, const FieldInfo& i) override {
    put(n, "integer or null", v ? Json(*v) : Json(nullptr), i);
  }
  void field(const char* n, Json& v, const FieldInfo& i) override { put(n, "json", v, i); }
  void field(const char* n, ConfigPart& v, const FieldInfo& i) override {
    put(n, "config", v.json ? *v.json : Json(nullptr), i);
  }

  Json result() const { return stack_.back(); }

 protected:
  bool enter(const char* name, const std::string& help) override {
    names_.emplace_back(name, help);
    stack_.push_back(describe_ ? Json::array() : Json::object());
    return true;
  }
  void leave() override {
    Json inner = std::move(stack_.back());
    stack_.pop_back();
    const auto [name, help] = names_.back();
    names_.pop_back();
    if (describe_) {
      stack_.back().push_back(
          {{"name", name}, {"type", "object"}, {"help", help}, {"fields", std::move(inner)}});
    } else if (!inner.empty()) {
      stack_.back()[name] = std::move(inner);
    }
  }
  std::string pick(const char* tag, const std::string& current,
                   const std::vector<std::string>& names) override {
    if (describe_) {
      stack_.back().push_back({{"name", tag}, {"type", "string"}, {"default", current}, {"choices", names}});
      return "";  // the fields of each kind are listed under its own name
    }
    if (!current.empty()) stack_.back()[tag] = current;
    return current;
  }
  bool enter_list(const char* name, const std::string& help, size_t current, size_t& count) override {
    if (describe_) {
      stack_.back().push_back({{"name", name}, {"type", "array of objects"}, {"help", help}});
      return false;
    }
    names_.emplace_back(name, help);
    stack_.push_back(Json::array());
    count = current;
    return true;
  }
  void enter_item(size_t) override { stack_.push_back(Json::object()); }
  void leave_item() override {
    Json item = std::move(stack_.back());
    stack_.pop_back();
    stack_.back().push_back(std::move(item));
  }
  void leave_list() override {
    Json items = std::move(stack_.back());
    stack_.pop_back();
    stack_.back()[names_.back().first] = std::move(items);
    names_.pop_back();
  }

 private:
  void put(const char* name, const char* type, const Json& value, const FieldInfo& info) {
    if (!describe_) {
      stack_.back()[name] = value;
      return;
    }
    Json row = {{"name", name},
                {"type", type},
                {"default", info.required ? Json(nullptr) : value},
                {"help", info.help}};
    if (info.required) row["required"] = true;
    if (!info.unit.empty()) row["unit"] = info.unit;
    if (info.min) row["min"] = *info.min;
    if (info.max) row["max"] = *info.max;
    if (!info.max && std::string_view(type).starts_with("integer")) row["max"] = kMaxCount;
    if (!info.choices.empty()) row["choices"] = info.choices;
    stack_.back().push_back(std::move(row));
  }

  bool describe_;
  std::vector<Json> stack_;
  std::vector<std::pair<std::string, std::string>> names_;
};

Json visit_copyless(const Fields& value, bool describe) {
  Writer writer(describe);
  // Writers change nothing: fields() is non-const only because readers share it. A described choice resets
  // its pointer, so describing is done on structs made for the purpose.
  const_cast<Fields&>(value).fields(writer);
  return writer.result();
}

}  // namespace

Json dump_fields(const Fields& value) {
  return visit_copyless(value, false);
}
Json describe_fields(const Fields& value) {
  return visit_copyless(value, true);
}

}  // namespace temper

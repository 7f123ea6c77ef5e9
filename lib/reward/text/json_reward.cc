#include "reward/text/json_reward.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json_end.h"
#include "reward/columns.h"
#include "reward/text/json_schema.h"

namespace temper {
namespace {

std::optional<nlohmann::json> parsed(const std::string& text) {
  // The parser and what it builds know no depth, but comparing and checking do.
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return std::nullopt;
  if ((text[begin] == '{' || text[begin] == '[') && !json_end(text, begin)) return std::nullopt;
  nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? std::nullopt : std::optional(std::move(value));
}

std::optional<std::string> last_fenced(const std::string& text) {
  std::optional<std::string> found;
  bool inside = false, json = false;
  size_t content = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r'))
      line.pop_back();
    line.erase(0, std::min(line.find_first_not_of(" \t"), line.size()));
    if (!inside && line.starts_with("```")) {
      inside = true;
      json = line == "```json";
      content = std::min(end + 1, text.size());
    } else if (inside && line == "```") {
      if (json) found = text.substr(content, begin - content);
      inside = false;
    }
    begin = end + 1;
  }
  return found;
}

std::optional<nlohmann::json> first_in(const std::string& text) {
  int64_t left = 100'000'000;  // characters that may still be looked at
  for (size_t at = 0; (at = text.find_first_of("{[", at)) != std::string::npos; ++at) {
    const auto end = json_end(text, at);
    left -= static_cast<int64_t>(end.value_or(text.size()) - at);
    if (left < 0) return std::nullopt;
    if (!end) continue;
    if (auto value = parsed(text.substr(at, *end - at))) return value;
  }
  return std::nullopt;
}

class JsonSchemaReward : public Reward {
 public:
  explicit JsonSchemaReward(const JsonSchemaOptions& o) : column_(o.column), extract_(o.extract) {
    if (!o.schema_file.empty()) {
      schema_ = std::make_unique<JsonSchema>(read_json_file(o.schema_file), o.schema_file);
    } else if (o.column.empty()) {
      schema_ = std::make_unique<JsonSchema>(o.schema, "reward json_schema: schema");
    }
  }

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items) scores.emplace_back(score_one(item));
    return scores;
  }
  bool each_alone() const override { return true; }
  std::map<std::string, int64_t> counters() const override { return {{"gave_up", gave_up_}}; }
  std::optional<std::string> check(const Json& columns) const override {
    if (!schema_) of_record(&columns);
    return std::nullopt;
  }
  Json read(const RewardItem& item) const override {
    const auto value = find_json(item.completion, extract_);
    return {{"is_json", value.has_value()}};
  }

 private:
  double score_one(const RewardItem& item) {
    const std::unique_ptr<JsonSchema> own = schema_ ? nullptr : of_record(item.columns);
    const auto value = find_json(item.completion, extract_);
    if (!value) return 0;
    const auto fits = (own ? *own : *schema_).fits(*value);
    gave_up_ += fits ? 0 : 1;
    return fits.value_or(false) ? 1 : 0;
  }

  // The column's object, or the JSON text in it.
  std::unique_ptr<JsonSchema> of_record(const Json* columns) const {
    const Json& value = column_value(columns, column_, "json_schema");
    const std::string where = "reward json_schema: column " + column_;
    return std::make_unique<JsonSchema>(
        value.is_string() ? parse_json(value.get<std::string>(), where) : value, where);
  }

  std::string column_, extract_;
  std::unique_ptr<JsonSchema> schema_;  // null: of each record
  int64_t gave_up_ = 0;
};

}  // namespace

std::optional<nlohmann::json> find_json(const std::string& text, const std::string& extract) {
  if (extract == "first") return first_in(text);
  if (extract == "all") return parsed(text);
  const auto block = last_fenced(text);
  return block ? parsed(*block) : std::nullopt;
}

void JsonSchemaOptions::fields(FieldVisitor& v) {
  v.field(
      "schema", schema,
      {.help = "the JSON Schema, an object; unknown keywords are errors (lib/reward/text/json_schema.h)"});
  v.field("schema_file", schema_file, {.help = "a file with it instead", .path = true});
  v.field("column", column, {.help = "a column with it instead: an object, or its text"});
  v.field("extract", extract,
          {.help = "what must be JSON: all of the completion, its last ```json block, or the first object or "
                   "array in it that can be read",
           .choices = {"all", "fenced", "first"}});
}

void JsonSchemaOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (int{!schema.is_null()} + int{!schema_file.empty()} + int{!column.empty()} != 1) {
    problems.push_back(where + ": \"json_schema\" needs one of \"schema\", \"schema_file\" and \"column\"");
    return;
  }
  if (schema.is_string()) {
    problems.push_back(where + ".schema: expected an object; a path goes into \"schema_file\"");
    return;
  }
  std::error_code error;
  if (!schema_file.empty() && !fs::exists(schema_file, error)) return;  // make() says so
  try {
    if (column.empty()) JsonSchemaReward{*this};
  } catch (const UserError& e) {
    problems.push_back(where + ": " + e.what());
  }
}

std::unique_ptr<Reward> JsonSchemaOptions::make() const {
  return std::make_unique<JsonSchemaReward>(*this);
}

}  // namespace temper

// The reward json_schema: whether a completion is JSON of a given shape.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/json.h"
#include "reward/reward.h"

namespace temper {

// 1 for JSON that fits the schema (json_schema.h), 0 for any other completion; never null. One schema for
// all, or one a record.
struct JsonSchemaOptions : RewardOptions {
  Json schema;
  std::string schema_file, column;  // one of the three
  std::string extract = "all";
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;
};

// The JSON value in a text. RFC 8259, so no comments, NaN or text that is not UTF-8; nested at most 512 deep;
// of a key that stands twice in an object, the last counts; a number beyond all doubles is none.
//   "all": the text is a value;
//   "fenced": the last ```json block that is closed is one;
//   "first": the first object or array in the text that is one. The search is given up after 100 million
//   characters, each counted as often as it is looked at: 14,000 brackets without an end would take as many.
// nullopt: none is there.
std::optional<nlohmann::json> find_json(const std::string& text, const std::string& extract);

}  // namespace temper

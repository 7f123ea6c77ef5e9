// JSON Schema: does a value fit?
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

// A schema of JSON Schema's draft 2020-12 (json-schema.org/draft/2020-12) with these keywords: type, enum,
// const, properties, required, additionalProperties, minProperties, maxProperties, prefixItems, items,
// minItems, maxItems, uniqueItems, minLength, maxLength, pattern, minimum, maximum, exclusiveMinimum,
// exclusiveMaximum, multipleOf, allOf, anyOf, oneOf, not, $defs, $ref to a place in the schema itself, and
// notes, which ask nothing: title, description, $comment, default, examples, deprecated, readOnly, writeOnly,
// $schema. Any other is an error, so that nothing is left unchecked in silence.
// A pattern is Oniguruma's Ruby syntax (pattern.h), but that ^ and $ are the ends of the text, $ also the
// place before a line end that ends it, as in Python. Numbers are compared as doubles where one of them has a
// fraction or exponent.
class JsonSchema {
 public:
  // Throws UserError with `where` and the place in the schema: an unknown keyword, a keyword's value that is
  // none, a $ref that leads nowhere, or round in a circle without going into the value.
  JsonSchema(const Json& schema, const std::string& where);
  ~JsonSchema();
  JsonSchema(const JsonSchema&) = delete;
  JsonSchema& operator=(const JsonSchema&) = delete;

  // nullopt: given up. That is after ten million parts of schemas that were held beside parts of the value
  // (anyOf of $refs to itself takes exponentially many), 2048 of them inside each other, or where a pattern
  // is given up; the same on every machine.
  std::optional<bool> fits(const nlohmann::json& value) const;

 private:
  struct Node;
  struct Compiler;
  struct Check;
  std::vector<std::unique_ptr<Node>> nodes_;  // the first is the whole schema
};

}  // namespace temper

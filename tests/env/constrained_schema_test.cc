// Texts that a model without sense writes under a schema, as the validator of rewards sees them.
#include <algorithm>
#include <memory>

#include "base/json.h"
#include "model/model.h"
#include "reward/text/json_schema.h"
#include "rollout/engine.h"
#include "test.h"
#include "text/tokenizer.h"

using namespace temper;

namespace {

const char* const kSchemas[] = {
    R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer",
        "minimum": 0, "maximum": 120}, "tags": {"type": "array", "items": {"enum": ["red", "n\u00e4h", 3, null]},
        "maxItems": 3}}, "required": ["name", "age"], "additionalProperties": false})",
    R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"v": {"type": "number",
        "minimum": -1.5, "exclusiveMaximum": 20}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["v", "next"]}}})",
    R"({"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": ["boolean", "null", "number"]}})",
    R"({"allOf": [{"type": "object", "properties": {"a": {"type": "string", "pattern": "^[a-z]{2,5}$"}}, "required": ["a"]},
        {"properties": {"b": {"const": "x\"y"}}}]})",
    R"({"type": "string", "minLength": 1, "maxLength": 6})"};

}  // namespace

TEST_CASE("constrained by a schema: every text that ends is JSON that fits, with every kind of tokenizer") {
  for (const std::string name : {"llama_legacy", "qwen", "spm_bpe"}) {
    CAPTURE(name);
    const auto tokenizer = Tokenizer::load(test_file("text/golden/tokenizers/" + name));
    ModelConfig config;
    config.family = "llama";
    config.vocab = tokenizer->vocab_size() + 3, config.hidden = 32, config.intermediate = 48,
    config.layers = 1;
    config.heads = 4, config.kv_heads = 2, config.head_dim = 8, config.max_positions = 600;
    const auto model = Model::initialise(config, make_precision("f32", "cpu"), 5);
    const int64_t end = config.vocab - 1;
    for (const char* text : kSchemas) {
      const Json schema = parse_json(text, "schema");
      const JsonSchema validator(schema, "schema");
      SamplingOptions sampling;
      sampling.json_schema = schema;
      sampling.max_new_tokens = 300;
      EngineOptions options;
      options.end_ids = {end};
      int ended = 0;
      const auto completions = generate(*model, *tokenizer, {{{5, 6, 7}, 10, 0}}, sampling, options);
      for (const Completion& c : completions[0]) {
        if (c.finish != FinishReason::kEnd) continue;
        ++ended;
        CAPTURE(c.text);
        CHECK(validator.fits(parse_json(c.text, "text")) == true);
        CHECK(c.ids.back() == end);
      }
      CHECK_MESSAGE(ended > 0, text);
    }
  }
}

// The verbs of temper-inspect that need more than one room.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace temper {

using PrintLine = std::function<void(const Json&)>;

// kind "": {kind: [{"name","summary","source"}...]...}; kind: that list with fields and departures from
// the source; kind and name: one entry. Objectives also have "family" and "inputs", and are found as "dpo" or
// "preference/dpo". Throws UserError for a name that is not there, with the nearest one.
Json inspect_list(const std::string& kind, const std::string& name);

// One reward on a completion a line, {"completion", "prompt"?, "tokens"?, "ids"?, the columns of its record}
// ->
// {"score", and what the reward read of the line}.
void inspect_reward_file(const std::string& kind, const std::string& file, const Json& options,
                         const PrintLine& print);

// A file of data as it was understood: {"file", "records", "left_out", "format", "why", "first": [{"line",
// "kind", "record", and with a model what a run learns of it or asks: "tokens": {name: {"ids", "pieces",
// "learnt": [0 or 1 ...]}}}...]}, its first three records. sets: {"columns.prompt": ..., "max_tokens": ...},
// fields of the config's section "data". model: a folder, empty: none.
Json inspect_data(const std::string& file, const std::string& model, const Json& sets);

// Problems 0 to count - 1 of the kind as records, a line each; options: {field: value} of the kind.
void inspect_problems(const std::string& kind, int64_t count, uint64_t seed, bool held_out,
                      const Json& options, const PrintLine& print);

// JSONL lines {"text": ...}; each line's result goes to `print`.
void inspect_tokenize_file(const Tokenizer& tokenizer, const std::string& file, const EncodeOptions& options,
                           const PrintLine& print);

// One objective on a batch a line (objective/inspect.h says the form), each with an optional "set": {field:
// value} over `overrides`.
void inspect_objective_file(const std::string& name, const std::string& file, const Json& overrides,
                            const PrintLine& print);

// {"text","ids","assistant_mask"}; where no mask can be told it is null, and "why" says what for. "behind"
// where messages follow an assistant's: see inspect_behind (text/inspect.h).
Json inspect_template(const std::string& model, const std::string& chat_template, const Json& input,
                      const std::string& where, bool generation_prompt);

// JSONL lines {"ids": [...]} -> {"logprobs": [...]}
void inspect_logprob(const std::string& model, const std::string& adapter, const std::string& dtype,
                     const std::string& file, const PrintLine& print);

// {"family","config","parameters","dtype","missing","unexpected","misshapen"}
Json inspect_model(const std::string& folder);

// {"task","finished","state","last","checkpoints": [{"step","folder","whole","bytes","problem"?}...],
// "problem"?}. Every byte of checkpoints and final/ is read against its checksum.
Json inspect_run(const std::string& folder);

// The schedule of a config: {"schedule","updates","lr": [one an update]}; `output`, if not empty: a drawing
// as an SVG file.
Json inspect_schedule(const std::string& config, const std::vector<std::string>& sets,
                      const std::string& output);

// Writes the file of a "refined" schedule from a run folder's gradient norms; weights: adam | sgd.
// {"source","weights","steps","output"}
Json refine_schedule(const std::string& run, const std::string& weights, const std::string& output);

}  // namespace temper

// Numbers of responses given as JSON objects, read column by column with an error that says where.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "base/json.h"

namespace temper::objective {

class Columns {
 public:
  // One row a response: its object and its path in the input ("sequences.3", "pairs.0.chosen"). Every row
  // must have a "logp" array, and no key that `known` lacks.
  struct Row {
    const Json* json;
    std::string path;
  };
  Columns(std::vector<Row> rows, const std::vector<std::string>& known, std::string lead = "logp");

  size_t size() const { return rows_.size(); }
  // True when every row has the key; some with and some without is an error.
  bool has(const std::string& key) const;
  void demand(const std::string& key, const std::string& who) const;  // throws unless has(key)
  bool is_array(const std::string& key) const { return size() > 0 && value(0, key).is_array(); }

  // [M] fp64, as long as the lead column in every row; null is NaN, true is 1 where allowed
  at::Tensor tokens(const std::string& key, bool null_allowed = false) const;
  at::Tensor numbers(const std::string& key,
                     bool null_allowed = false) const;   // [S] fp64; null is NaN, true is 1
  at::Tensor table(const std::string& key) const;        // [S, F] fp64, null is NaN
  at::Tensor token_table(const std::string& key) const;  // [M, K] fp64, K numbers a token
  at::Tensor labels(const std::string& key) const;       // [S] int64
  at::Tensor token_sequence() const;                     // [M] int64, the row of each token
  Json ragged(const at::Tensor& values) const;           // [[...], ...] of a [M] tensor

 private:
  const Json& value(size_t row, const std::string& key) const { return (*rows_[row].json)[key]; }
  size_t length(size_t row) const { return value(row, lead_).size(); }
  std::vector<Row> rows_;
  std::string lead_;
};

double finite_number(const Json& value, const std::string& where);

// The rows of input["sequences"]; the input's keys must be among `known_beside` and "sequences".
Columns sequence_columns(const Json& input, const std::vector<std::string>& known_beside,
                         const std::vector<std::string>& known, const std::string& lead = "logp");
// Rows "chosen" and "rejected" of each of input["pairs"] in turn; a pair's other keys must be among
// `known_beside`.
Columns pair_columns(const Json& input, const std::vector<std::string>& known_beside,
                     const std::vector<std::string>& known, const std::string& lead = "logp");
void check_input_keys(const Json& input, const std::string& array_key,
                      const std::vector<std::string>& known_beside);

}  // namespace temper::objective

#include "objective/columns.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/fields.h"

namespace temper::objective {

double finite_number(const Json& value, const std::string& where) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    user_error("{}: expected a finite number, found {}", where, value.dump().substr(0, 60));
  }
  return value.get<double>();
}

void check_input_keys(const Json& input, const std::string& array_key,
                      const std::vector<std::string>& known_beside) {
  if (!input.is_object() || !input.contains(array_key) || !input[array_key].is_array()) {
    user_error("input: expected an object with \"{}\", an array of objects", array_key);
  }
  for (const auto& [key, value] : input.items()) {
    if (key == array_key || std::find(known_beside.begin(), known_beside.end(), key) != known_beside.end())
      continue;
    user_error("input: unknown key \"{}\"; known here: {}{}{}", key, array_key,
               known_beside.empty() ? "" : ", ", fmt::join(known_beside, ", "));
  }
  if (input[array_key].empty()) user_error("input: \"{}\" is empty", array_key);
}

Columns sequence_columns(const Json& input, const std::vector<std::string>& known_beside,
                         const std::vector<std::string>& known, const std::string& lead) {
  check_input_keys(input, "sequences", known_beside);
  std::vector<Columns::Row> rows;
  for (size_t i = 0; i < input["sequences"].size(); ++i)
    rows.push_back({&input["sequences"][i], fmt::format("sequences.{}", i)});
  return Columns(std::move(rows), known, lead);
}

Columns pair_columns(const Json& input, const std::vector<std::string>& known_beside,
                     const std::vector<std::string>& known, const std::string& lead) {
  check_input_keys(input, "pairs", {});
  std::vector<Columns::Row> rows;
  for (size_t i = 0; i < input["pairs"].size(); ++i) {
    const Json& pair = input["pairs"][i];
    const std::string path = fmt::format("pairs.{}", i);
    if (!pair.is_object()) user_error("{}: expected an object", path);
    for (const auto& [key, value] : pair.items()) {
      if (key == "chosen" || key == "rejected") continue;
      if (std::find(known_beside.begin(), known_beside.end(), key) != known_beside.end()) continue;
      user_error("{}: unknown key \"{}\"; known here: chosen, rejected, {}", path, key,
                 fmt::join(known_beside, ", "));
    }
    for (const char* side : {"chosen", "rejected"}) {
      if (!pair.contains(side)) user_error("{}: \"{}\" is missing", path, side);
      rows.push_back({&pair[side], path + "." + side});
    }
  }
  return Columns(std::move(rows), known, lead);
}

Columns::Columns(std::vector<Row> rows, const std::vector<std::string>& known, std::string lead)
    : rows_(std::move(rows)), lead_(std::move(lead)) {
  for (const Row& row : rows_) {
    if (!row.json->is_object()) user_error("{}: expected an object", row.path);
    for (const auto& [key, value] : row.json->items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      const std::string near = nearest_name(key, known);
      if (near.empty())
        user_error("{}: unknown key \"{}\"; known here: {}", row.path, key, fmt::join(known, ", "));
      user_error("{}: unknown key \"{}\"; did you mean \"{}\"?", row.path, key, near);
    }
    if (lead_.empty()) continue;
    if (!row.json->contains(lead_) || !(*row.json)[lead_].is_array()) {
      user_error("{}: \"{}\" is missing; expected an array of numbers, one a {}", row.path, lead_,
                 lead_ == "logp" ? "token" : "step");
    }
  }
}

bool Columns::has(const std::string& key) const {
  const auto lacks = [&](const Row& row) { return !row.json->contains(key); };
  const auto without = std::find_if(rows_.begin(), rows_.end(), lacks);
  if (without == rows_.end()) return true;
  if (!std::all_of(rows_.begin(), rows_.end(), lacks)) {
    user_error("{}: \"{}\" is missing, which others have", without->path, key);
  }
  return false;
}

void Columns::demand(const std::string& key, const std::string& who) const {
  if (!has(key)) user_error("{}: \"{}\" is missing, and {} needs it", rows_.front().path, key, who);
}

at::Tensor Columns::tokens(const std::string& key, bool null_allowed) const {
  std::vector<double> out;
  for (size_t i = 0; i < size(); ++i) {
    const std::string where = fmt::format("{}.{}", rows_[i].path, key);
    const Json& values = value(i, key);
    if (!values.is_array()) user_error("{}: expected an array of numbers", where);
    if (values.size() != length(i))
      user_error("{}: {} numbers, but {} has {}", where, values.size(), lead_, length(i));
    for (size_t t = 0; t < values.size(); ++t) {
      if (null_allowed && values[t].is_null())
        out.push_back(std::numeric_limits<double>::quiet_NaN());
      else if (null_allowed && values[t].is_boolean())
        out.push_back(values[t].get<bool>() ? 1.0 : 0.0);
      else
        out.push_back(finite_number(values[t], fmt::format("{}.{}", where, t)));
    }
  }
  return at::tensor(out, at::kDouble);
}

at::Tensor Columns::numbers(const std::string& key, bool null_allowed) const {
  std::vector<double> out;
  for (size_t i = 0; i < size(); ++i) {
    const Json& number = value(i, key);
    if (null_allowed && number.is_null())
      out.push_back(std::numeric_limits<double>::quiet_NaN());
    else if (number.is_boolean())
      out.push_back(number.get<bool>() ? 1.0 : 0.0);
    else
      out.push_back(finite_number(number, fmt::format("{}.{}", rows_[i].path, key)));
  }
  return at::tensor(out, at::kDouble);
}

at::Tensor Columns::table(const std::string& key) const {
  std::vector<double> out;
  const size_t width = value(0, key).size();
  for (size_t i = 0; i < size(); ++i) {
    const std::string where = fmt::format("{}.{}", rows_[i].path, key);
    const Json& row = value(i, key);
    if (!row.is_array() || row.size() != width || width == 0) {
      user_error("{}: expected an array of as many numbers as the others have", where);
    }
    for (size_t f = 0; f < width; ++f) {
      out.push_back(row[f].is_null() ? std::numeric_limits<double>::quiet_NaN()
                                     : finite_number(row[f], fmt::format("{}.{}", where, f)));
    }
  }
  return at::tensor(out, at::kDouble).reshape({static_cast<int64_t>(size()), static_cast<int64_t>(width)});
}

at::Tensor Columns::token_table(const std::string& key) const {
  std::vector<double> out;
  size_t width = 0, tokens = 0;
  for (size_t i = 0; i < size(); ++i) {
    const std::string where = fmt::format("{}.{}", rows_[i].path, key);
    const Json& rows = value(i, key);
    if (!rows.is_array() || rows.size() != length(i))
      user_error("{}: expected {} arrays of numbers, one a token", where, length(i));
    for (size_t t = 0; t < rows.size(); ++t, ++tokens) {
      if (width == 0) width = rows[t].size();
      if (!rows[t].is_array() || rows[t].empty() || rows[t].size() != width) {
        user_error("{}.{}: expected {} numbers, as for the first token", where, t, width);
      }
      for (size_t k = 0; k < width; ++k)
        out.push_back(finite_number(rows[t][k], fmt::format("{}.{}.{}", where, t, k)));
    }
  }
  return at::tensor(out, at::kDouble)
      .reshape({static_cast<int64_t>(tokens), static_cast<int64_t>(std::max<size_t>(width, 1))});
}

at::Tensor Columns::labels(const std::string& key) const {
  std::vector<int64_t> out;
  for (size_t i = 0; i < size(); ++i) {
    const Json& label = value(i, key);
    if (!label.is_number_integer()) {
      user_error("{}.{}: expected an integer, found {}", rows_[i].path, key, label.dump().substr(0, 60));
    }
    out.push_back(label.get<int64_t>());
  }
  return at::tensor(out, at::kLong);
}

at::Tensor Columns::token_sequence() const {
  std::vector<int64_t> out;
  for (size_t i = 0; i < size(); ++i) out.insert(out.end(), length(i), static_cast<int64_t>(i));
  return at::tensor(out, at::kLong);
}

Json Columns::ragged(const at::Tensor& values) const {
  const at::Tensor flat = values.detach().to(at::kDouble).contiguous();
  const double* data = flat.const_data_ptr<double>();
  const size_t width = flat.dim() == 2 ? flat.size(1) : 1;
  Json out = Json::array();
  for (size_t i = 0; i < size(); ++i) {
    Json row = Json::array();
    for (size_t t = 0; t < length(i); ++t, data += width) {
      if (flat.dim() == 2)
        row.push_back(std::vector<double>(data, data + width));
      else
        row.push_back(*data);
    }
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace temper::objective

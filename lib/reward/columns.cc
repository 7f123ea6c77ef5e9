#include "reward/columns.h"

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

std::string known_columns(const Json& columns) {
  std::string out;
  for (const auto& [key, value] : columns.items()) out += (out.empty() ? "" : ", ") + key;
  return out;
}

const Json* find(const Json& columns, const std::string& column) {
  if (const auto whole = columns.find(column); whole != columns.end())
    return whole->is_null() ? nullptr : &*whole;
  const Json* at = &columns;
  for (size_t begin = 0; begin <= column.size();) {
    const size_t end = std::min(column.find('.', begin), column.size());
    if (!at->is_object()) return nullptr;
    const auto next = at->find(column.substr(begin, end - begin));
    if (next == at->end()) return nullptr;
    at = &*next;
    begin = end + 1;
  }
  return at->is_null() ? nullptr : at;
}

}  // namespace

const Json& column_value(const Json* columns, const std::string& column, const std::string& reward) {
  const Json* value = columns != nullptr && columns->is_object() ? find(*columns, column) : nullptr;
  if (value == nullptr) {
    const std::string have = columns != nullptr && columns->is_object() ? known_columns(*columns) : "";
    user_error("reward {}: the data has no column \"{}\"; the record has: {}; set \"column\" to one of these",
               reward, column, have.empty() ? "none" : have);
  }
  return *value;
}

std::vector<std::string> column_texts(const Json* columns, const std::string& column,
                                      const std::string& reward) {
  const Json& value = column_value(columns, column, reward);
  std::vector<std::string> out;
  const bool list = value.is_array();
  const Json items = list ? value : Json::array({value});
  for (const Json& one : items) {
    if (one.is_string()) {
      out.push_back(one.get<std::string>());
    } else if (one.is_number() || one.is_boolean()) {
      out.push_back(dump_line(one));
    } else {
      user_error("reward {}: column \"{}\": expected a string or a number{}, found {}", reward, column,
                 list ? " in the array" : "", dump_line(one).substr(0, 60));
    }
  }
  return out;
}

bool has_column(const Json* columns, const std::string& column) {
  return columns != nullptr && columns->is_object() && find(*columns, column) != nullptr;
}

std::optional<std::string> no_reference(const Json& columns, const std::string& column,
                                        const std::string& reward) {
  if (!column_texts(&columns, column, reward).empty()) return std::nullopt;
  return fmt::format("column \"{}\" lists nothing", column);
}

}  // namespace temper

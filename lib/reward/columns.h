// The columns of the record that a prompt came from.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

// What is in a column, which is not null. `column` may go into objects with dots
// ("reward_model.ground_truth"). Throws UserError when the record has no such column; `reward` is the
// reward's kind, for the message.
const Json& column_value(const Json* columns, const std::string& column, const std::string& reward);

// The texts in a column: a string as it is, a number or true/false as JSON spells it, each element of an
// array of those. Throws as column_value, and when it holds something else.
std::vector<std::string> column_texts(const Json* columns, const std::string& column,
                                      const std::string& reward);

// Whether the record has such a column, and not null in it.
bool has_column(const Json* columns, const std::string& column);

// For Reward::check: why a record whose column lists nothing gets no score; nullopt: there is a text.
std::optional<std::string> no_reference(const Json& columns, const std::string& column,
                                        const std::string& reward);

}  // namespace temper

// What people are told.
#pragma once

#include <string>

#include "base/error.h"

namespace temper {

// The message of the UserError that `f` throws; "": it throws none.
template <class F>
std::string problem(F f) {
  try {
    f();
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace temper

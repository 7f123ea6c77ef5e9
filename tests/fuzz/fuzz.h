// What the fuzz targets share. A target hands its bytes to a reader, which may answer with a UserError that
// has a message, and with nothing else: whatever else is thrown, and every broken promise, is a finding and
// aborts.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <typeinfo>

#include "base/error.h"
#include "base/json.h"
#include "temp_folder.h"

namespace temper::fuzz {

[[noreturn]] inline void finding(const std::string& what) {
  std::fprintf(stderr, "FINDING: %s\n", what.c_str());
  std::abort();
}

inline void promise(bool kept, const char* what) {
  if (!kept) finding(what);
}

// Whether f went through without a UserError.
template <class F>
bool reads(const F& f) {
  try {
    f();
    return true;
  } catch (const UserError& e) {
    promise(*e.what() != '\0', "an error without a message");
  } catch (const std::exception& e) {
    finding(std::string(typeid(e).name()) + ": " + e.what());
  }
  return false;
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// JSON as text, whatever its strings hold.
inline std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::ignore);
}

// One folder a process for what can only be read from files.
inline const TempFolder& scratch() {
  static const TempFolder folder;
  return folder;
}

}  // namespace temper::fuzz

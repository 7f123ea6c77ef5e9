// What every test includes: doctest, after torch, whose c10 headers define a CHECK of their own.
#pragma once

#undef CHECK
#undef CHECK_EQ
#undef CHECK_NE
#undef CHECK_LT
#undef CHECK_LE
#undef CHECK_GT
#undef CHECK_GE
#include <doctest/doctest.h>

#include <string>

// The path of a file under tests/, for goldens.
inline std::string test_file(const std::string& relative) {
  return TEMPER_SOURCE_DIR "/tests/" + relative;
}

// The tiny random models of scripts/oracles/models.py.
#pragma once

#include <string>

#include "test.h"

inline const std::string kNames[] = {"llama3", "llama_linear", "smollm", "mistral", "qwen2", "qwen3"};

inline std::string golden(const std::string& name) {
  return test_file("model/golden/" + name);
}

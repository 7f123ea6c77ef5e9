// The tiny random models of scripts/oracles/families.py.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "test.h"

inline std::vector<std::string> golden_folders() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(test_file("model/golden/families")))
    out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

struct GoldenSequence {
  std::vector<int64_t> ids;
  std::vector<double> logprobs;  // of ids from the second on
};

inline std::vector<GoldenSequence> golden_sequences(const temper::Json& golden) {
  std::vector<GoldenSequence> out;
  for (const temper::Json& s : golden["sequences"])
    out.push_back({s["ids"].get<std::vector<int64_t>>(), s["logprobs"].get<std::vector<double>>()});
  return out;
}

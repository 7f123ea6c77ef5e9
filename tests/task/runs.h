// Whole runs of tiny models in a temporary folder.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/file.h"
#include "run/metrics.h"
#include "task/registry.h"
#include "temp_folder.h"
#include "test.h"
#include "train/run.h"

namespace temper {

// Supervised training of a model of a few thousand weights.
inline std::string tiny_sft(const std::string& file, int steps) {
  const Json config = {{"task", "sft"},
                       {"threads", 1},
                       {"model",
                        {{"dtype", "f32"},
                         {"init",
                          {{"vocab", 280},
                           {"hidden", 32},
                           {"intermediate", 64},
                           {"layers", 2},
                           {"heads", 2},
                           {"kv_heads", 1},
                           {"max_positions", 128}}}}},
                       {"data", {{"train", {file}}, {"max_tokens", 100}}},
                       {"optimizer", {{"name", "adamw"}, {"lr", 1e-2}}},
                       {"schedule", {{"name", "constant"}}},
                       {"train", {{"steps", steps}, {"batch_size", 8}}},
                       {"checkpoint", {{"every", 0}}},
                       {"run", "sft"}};
  return config.dump();
}

// Sixteen sums with their answers: prompt, completion, answer.
inline std::string arithmetic() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format("{{\"prompt\": \"Add {} and {}:\", \"completion\": \" {}\", \"answer\": \"{}\"}}\n", a,
                       b, a + b, a + b);
  }
  return out;
}

// The same as preference pairs, the wrong answers a little longer.
inline std::string arithmetic_pairs() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format("{{\"prompt\": \"Add {} and {}:\", \"chosen\": \" {}\", \"rejected\": \" {} no\"}}\n",
                       a, b, a + b, a + b + 1);
  }
  return out;
}

// The same as answers in two manners.
inline std::string constitutions() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format(
        "{{\"prompts\": [\"Short. Add {0} and {1}:\", \"Polite. Add {0} and {1}:\"], "
        "\"completions\": [\" {2}\", \" sir, {2}\"]}}\n",
        a, b, a + b);
  }
  return out;
}

inline std::string bytes(const std::filesystem::path& file) {  // throws UserError where there is none
  return read_file(file.string());
}

class Runs {
 public:
  Runs() { folder_.write("train.jsonl", arithmetic()); }
  void write(const std::string& name, const std::string& content) { folder_.write(name, content); }
  bool scores_while_decoding = true;

  // The rows of metrics.jsonl of a run of this config.
  std::vector<MetricsRow> operator()(const std::string& config, const std::string& name,
                                     const std::vector<std::string>& sets = {},
                                     const std::string& resume = "never", bool accept_changed_data = false) {
    const std::string file = folder_.write(name + ".json", config);
    RunConfig run(task_registry());
    load_run_config(run, file, sets);
    run.run = (folder_ / name).string();
    const Log log((folder_ / (name + ".log")).string());
    Console console({.fd = log.fd, .terminal = false});
    RunOptions options{resume, nullptr, &console, accept_changed_data};
    options.scores_while_decoding = scores_while_decoding;
    run_training(run, options);
    return read_metrics(run.run + "/" + MetricsLog::kMetricsFile);
  }
  // What the newest run of this name told people.
  std::string said(const std::string& name) const { return read_file((folder_ / (name + ".log")).string()); }
  std::filesystem::path folder() const { return folder_.path(); }

 private:
  struct Log {
    explicit Log(const std::string& path) : fd(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600)) {}
    ~Log() { ::close(fd); }
    const int fd;
  };
  TempFolder folder_;
};

inline std::vector<std::string> with(std::vector<std::string> sets, const std::vector<std::string>& more) {
  sets.insert(sets.end(), more.begin(), more.end());
  return sets;
}

inline void check_same(const std::vector<MetricsRow>& a, const std::vector<MetricsRow>& b, double tolerance) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i].step);
    REQUIRE(a[i].values.size() == b[i].values.size());
    for (size_t v = 0; v < a[i].values.size(); ++v) {
      const auto& [name, x] = a[i].values[v];
      CAPTURE(name);
      CHECK(b[i].values[v].first == name);
      if (name == "rollout_gap" || name == "approx_kl") continue;  // rounding itself
      CHECK(std::abs(x - b[i].values[v].second) < tolerance * std::max(1.0, std::abs(x)));
    }
  }
}

}  // namespace temper

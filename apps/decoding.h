// How temper-generate and temper-eval decode, beside sampling: speculation, the search for its skips, and
// searches.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "common.h"
#include "rollout/search/text_search.h"
#include "rollout/speculate/find_skips.h"

namespace temper {

struct DecodingArguments {
  std::string speculation, search, find_skips;
  int64_t trials = 60;
};

inline void add_speculation_option(CLI::App& app, std::string& speculation) {
  app.add_option(
      "--speculation", speculation,
      "drafts that make decoding faster and leave its distribution as it is: lookup, skip, draft, an "
      "object such as {\"kind\": \"draft\", \"model\": DIR}, or the .json file of one (temper-inspect "
      "list speculation)");
}

inline void add_search_option(CLI::App& app, std::string& search, const std::string& of_n) {
  app.add_option(
      "--search", search,
      "completions that are searched for instead of drawn: beam, contrastive, or an object such as "
      "{\"kind\": \"beam\", \"beams\": 8} (temper-inspect list search); " +
          of_n);
}

inline void add_decoding_options(CLI::App& app, DecodingArguments& a) {
  add_speculation_option(app, a.speculation);
  add_search_option(app, a.search, "--n: the best so many");
  app.add_option(
      "--find-skips", a.find_skips,
      "write a .json file for --speculation there: the sub-layers that the model can do without in its "
      "drafts, found by decoding the prompts");
  app.add_option("--trials", a.trials, "--find-skips: sets of sub-layers that are tried [60]")
      ->check(CLI::Range(1, 100000));
}

// All completions, [request][sample], searched for or, where `searching` is null, drawn.
inline std::vector<std::vector<Completion>> decode(
    Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
    const SamplingOptions& sampling, const EngineOptions& engine, const TextSearchOptions* searching,
    const std::function<void(const EngineProgress&)>& on_progress) {
  return searching == nullptr ? generate(model, tokenizer, requests, sampling, engine, on_progress)
                              : search(model, tokenizer, requests, sampling, engine, *searching, on_progress);
}

// --find-skips. Throws UserError when no set saves anything.
inline void write_skips(const DecodingArguments& a, Model& model, const Tokenizer& tokenizer,
                        const std::vector<GenerateRequest>& requests, const SamplingOptions& sampling,
                        const EngineOptions& engine) {
  Console console;
  const SkipTrial best =
      find_skips(model, tokenizer, requests, sampling, engine, a.trials,
                 [&](int64_t trial, const SkipTrial& tried, const SkipTrial& best) {
                   console.status(
                       fmt::format("{}/{} sets tried, best speed-up {:.2f}, this one {:.2f} ({:.0f} % of "
                                   "the drafts accepted)",
                                   trial + 1, a.trials, best.speed_up, tried.speed_up, 100 * tried.accepted));
                 });
  console.status("");
  if (best.attention.empty() && best.mlp.empty())
    user_error(
        "--find-skips: none of {} sets of sub-layers saves work; give more --trials, or longer answers",
        a.trials);
  log_info(
      "{} of {} sub-layers skipped in drafts, {:.0f} % of them accepted: {:.2f} times the tokens by work",
      best.attention.size() + best.mlp.size(), 2 * model.config().layers, 100 * best.accepted, best.speed_up);
  write_file_atomic(a.find_skips, best.to_json().dump() + "\n");
}

}  // namespace temper

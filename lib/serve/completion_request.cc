#include <algorithm>

#include "serve/api_error.h"
#include "serve/common_request.h"
#include "serve/protocol.h"

namespace temper {
namespace {

constexpr int64_t kDefaultTokens = 16;  // as OpenAI's

std::vector<int64_t> ids_of(const Json& list) {
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX)
      throw bad_request("prompt", "expected token ids, found " + shown_value(id));
  }
  return list.get<std::vector<int64_t>>();
}

std::vector<CompletionRequest::Prompt> read_prompts(RequestReader& reader) {
  constexpr const char* kForms = "a text, token ids, or a list of either";
  const Json& given = reader.demand("prompt", kForms);
  if (given.is_string()) return {given.get<std::string>()};
  if (!given.is_array() || given.empty()) reader.expected("prompt", kForms, given);
  if (given.front().is_number()) return {ids_of(given)};
  if (given.size() > kMaxPrompts)
    throw bad_request("prompt",
                      fmt::format("at most {} prompts in a request, found {}", kMaxPrompts, given.size()));
  std::vector<CompletionRequest::Prompt> out;
  for (const Json& one : given) {
    if (one.is_string() && given.front().is_string())
      out.emplace_back(one.get<std::string>());
    else if (one.is_array() && given.front().is_array())
      out.emplace_back(ids_of(one));
    else
      reader.expected("prompt", "all texts or all token ids", one);
  }
  return out;
}

}  // namespace

CompletionRequest read_completion_request(const Json& json, const RequestDefaults& defaults) {
  RequestReader reader(json, "");
  CompletionRequest out;
  read_common(reader, json, defaults, out);
  out.prompts = read_prompts(reader);
  out.max_tokens = reader.whole("max_tokens", 1, INT32_MAX);
  out.default_tokens = kDefaultTokens;
  out.top_logprobs = reader.whole("logprobs", 0, 20);
  reader.demand_value("echo", false, "it is not offered here: prompts have no log-probs, and are known");
  if (const Json* suffix = reader.find("suffix"); suffix != nullptr && *suffix != "")
    throw bad_request("suffix", "the model writes behind a prompt alone", "unsupported_parameter");
  reader.demand_value("best_of", out.samples,
                      "all samples are returned; leave it out, or make it the same as \"n\"");
  reader.finish();
  check_sampling(out.sampling);
  return out;
}

}  // namespace temper

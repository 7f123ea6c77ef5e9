#include "serve/common_request.h"

#include <fmt/format.h>

#include "base/error.h"
#include "serve/api_error.h"

namespace temper {
namespace {

const char* const kNumbers[] = {
    "temperature",      "top_p", "min_p", "typical_p", "top_k", "repetition_penalty", "presence_penalty",
    "frequency_penalty"};

// "request: top_p: ..." as the key and what is wrong with it; of several lines the first.
ApiError of_field(const std::string& what) {
  std::string text = what.substr(0, what.find('\n'));
  constexpr std::string_view kWhere = "request: ";
  if (text.starts_with(kWhere)) text = text.substr(kWhere.size());
  const size_t colon = text.find(": ");
  if (colon == std::string::npos) return bad_request("", text);
  const std::string key = text.substr(0, colon), why = text.substr(colon + 2);
  return bad_request(key.starts_with("json_schema") ? "response_format." + key : key, why);
}

void read_stop(RequestReader& reader, SamplingOptions& sampling) {
  const Json* stop = reader.find("stop");
  if (stop == nullptr) return;
  const Json all = stop->is_string() ? Json::array({*stop}) : *stop;
  if (!all.is_array() || all.size() > kMaxStops)
    reader.expected("stop", fmt::format("a string or a list of at most {}", kMaxStops), *stop);
  sampling.stop.clear();
  for (const Json& text : all) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty())
      reader.expected("stop", "strings that are not empty", text);
    sampling.stop.push_back(text);
  }
}

void read_numbers(RequestReader& reader, SamplingOptions& sampling) {
  Json given = Json::object();
  for (const char* key : kNumbers) {
    const Json* value = reader.find(key);
    if (value == nullptr) continue;
    // -1 is what vLLM calls no bound.
    given[key] = std::string_view(key) == "top_k" && *value == -1 ? Json(0) : *value;
  }
  if (const auto regex = reader.text("regex")) given["regex"] = *regex;
  if (given.empty()) return;
  try {
    // What is there already keeps its values: only what the request names is read.
    read_fields(sampling, given, "request", ".");
  } catch (const UserError& e) {
    throw of_field(e.what());
  }
}

void read_format(RequestReader& reader, SamplingOptions& sampling) {
  const Json* format = reader.object("response_format");
  if (format == nullptr) return;
  if (!sampling.regex.empty()) throw bad_request("response_format", "it goes without regex");
  RequestReader keys(*format, "response_format");
  const std::string type = keys.demand("type", "text, json_object or json_schema").is_string()
                               ? format->at("type").get<std::string>()
                               : "";
  if (type == "json_schema") {
    keys.demand("json_schema", "an object with \"schema\"");
    RequestReader named(*keys.object("json_schema"), "response_format.json_schema");
    for (const char* key : {"name", "description", "strict"}) named.ignore(key);
    named.demand("schema", "a JSON schema");
    sampling.json_schema = *named.object("schema");
    named.finish();
  } else if (type == "json_object") {
    sampling.json_schema = {{"type", "object"}};
  } else if (type != "text") {
    keys.expected("type", "text, json_object or json_schema", format->at("type"));
  }
  keys.finish();
}

}  // namespace

void check_sampling(const SamplingOptions& sampling) {
  std::vector<std::string> problems;
  sampling.check(problems, "request");
  if (problems.empty()) return;
  std::string first = problems.front();
  constexpr std::string_view kWhere = "request.";
  if (first.starts_with(kWhere)) first = first.substr(kWhere.size());
  throw of_field(first);
}

void read_common(RequestReader& reader, const Json& json, const RequestDefaults& defaults,
                 CommonRequest& request) {
  request.sampling = defaults.sampling;
  request.model = reader.text("model").value_or("");
  request.stream = reader.flag("stream", false);
  if (const Json* options = reader.object("stream_options")) {
    if (!request.stream) throw bad_request("stream_options", "it goes with \"stream\": true");
    RequestReader keys(*options, "stream_options");
    request.include_usage = keys.flag("include_usage", false);
    keys.demand_value("include_obfuscation", false, "it is not offered; leave it out");
    keys.finish();
  }
  request.samples = reader.whole("n", 1, defaults.max_samples).value_or(1);
  if (const auto seed = reader.whole("seed", INT64_MIN, INT64_MAX))
    request.seed = static_cast<uint64_t>(*seed);
  read_stop(reader, request.sampling);
  read_numbers(reader, request.sampling);
  read_format(reader, request.sampling);
  for (const char* key : {"user", "metadata", "store", "service_tier", "safety_identifier"})
    reader.ignore(key);
  for (const char* key : {"logit_bias", "modalities", "audio", "prediction", "web_search_options"}) {
    if (reader.find(key) != nullptr)
      throw bad_request(key, "it is not offered here", "unsupported_parameter");
  }
}

}  // namespace temper

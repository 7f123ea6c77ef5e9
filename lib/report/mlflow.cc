#include <algorithm>

#include "base/error.h"
#include "base/http.h"
#include "report/trackers.h"

namespace temper {
namespace {

constexpr size_t kMostMetrics = 1000, kMostParameters = 100;  // of one call of runs/log-batch
constexpr size_t kMostLetters = 6000;                         // of a parameter

class Server {
 public:
  explicit Server(std::string url) : url_(std::move(url)) {
    while (url_.ends_with('/')) url_.pop_back();
  }
  // status: the answer's; only 200 is right where it is null.
  Json post(const std::string& path, const Json& body, int* status = nullptr) const {
    HttpOptions options;
    options.url = url_ + "/api/2.0/mlflow/" + path;
    options.retries = 2;
    const HttpAnswer answer = HttpClient(options, "--mlflow").post(dump_line(body));
    if (answer.cause != HttpAnswer::Cause::kAnswered || (status == nullptr && !answer.ok()))
      user_error("--mlflow: {}", answer.why);
    if (status != nullptr) *status = answer.status;
    return answer.body.empty() ? Json::object() : parse_json(answer.body, options.url);
  }

 private:
  std::string url_;
};

// The settings that are no objects, by their paths.
void flatten(const Json& value, const std::string& path, Json& out) {
  if (value.is_object()) {
    for (const auto& [key, part] : value.items()) flatten(part, path.empty() ? key : path + "." + key, out);
    return;
  }
  const std::string text = value.is_string() ? value.get<std::string>() : dump_line(value);
  out.push_back({{"key", path}, {"value", text.substr(0, kMostLetters)}});
}

// MLflow's names hold letters, digits and _ - . space : /.
std::string allowed(std::string name) {
  for (char& c : name) {
    const bool fits = std::isalnum(static_cast<unsigned char>(c)) ||
                      std::string_view("_-. :/").find(c) != std::string_view::npos;
    if (!fits) c = '_';
  }
  return name;
}

std::string text_at(const Json& answer, std::initializer_list<const char*> path, const std::string& call) {
  const Json* at = &answer;
  for (const char* key : path) {
    if (!at->is_object() || !at->contains(key))
      user_error("--mlflow: {}: the answer has no \"{}\"", call, key);
    at = &(*at)[key];
  }
  if (!at->is_string())
    user_error("--mlflow: {}: expected a text, found {}", call, dump_line(*at).substr(0, 60));
  return *at;
}

void log_parts(const Server& server, const std::string& id, const char* kind, const Json& all, size_t most) {
  for (size_t begin = 0; begin < all.size(); begin += most) {
    Json part = Json::array();
    for (size_t i = begin; i < std::min(all.size(), begin + most); ++i) part.push_back(all[i]);
    server.post("runs/log-batch", {{"run_id", id}, {kind, std::move(part)}});
  }
}

}  // namespace

std::string send_to_mlflow(const TrackedRun& run, const std::string& experiment, const std::string& url) {
  const Server server(url);
  // There is no POST that finds an experiment by its name alone; search does.
  const std::string quoted = "name = '" + experiment + "'";
  if (experiment.find('\'') != std::string::npos)
    user_error("--project {}: MLflow's names hold no '", experiment);
  const Json found = server.post("experiments/search", {{"max_results", 1}, {"filter", quoted}});
  const bool there = found.contains("experiments") && !found["experiments"].empty();
  const std::string place = there ? text_at(found["experiments"][0], {"experiment_id"}, "experiments/search")
                                  : text_at(server.post("experiments/create", {{"name", experiment}}),
                                            {"experiment_id"}, "experiments/create");
  const auto started = static_cast<int64_t>(run.started * 1000);
  const std::string id = text_at(
      server.post("runs/create", {{"experiment_id", place}, {"run_name", run.name}, {"start_time", started}}),
      {"run", "info", "run_id"}, "runs/create");

  Json parameters = Json::array(), metrics = Json::array();
  flatten(run.config, "", parameters);
  double passed = 0;
  for (const MetricsRow& row : run.rows) {
    passed += row.split == "train" ? row.find("seconds").value_or(0) : 0;
    for (const auto& [name, value] : tracked_values(row))
      metrics.push_back({{"key", allowed(name)},
                         {"value", value},
                         {"timestamp", started + static_cast<int64_t>(passed * 1000)},
                         {"step", row.step}});
  }
  log_parts(server, id, "params", parameters, kMostParameters);
  log_parts(server, id, "metrics", metrics, kMostMetrics);
  server.post("runs/update", {{"run_id", id},
                              {"status", run.done ? "FINISHED" : "RUNNING"},
                              {"end_time", started + static_cast<int64_t>(passed * 1000)}});
  return id;
}

}  // namespace temper

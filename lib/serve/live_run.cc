#include "serve/live_run.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "run/metrics.h"
#include "serve/api_error.h"
#include "serve/line_tail.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kPiece = 1 << 18;         // bytes of a file that are read at once
constexpr size_t kMostMetrics = 64 << 20;  // of one answer
constexpr std::chrono::milliseconds kPoll{100}, kLook{1000};
constexpr std::chrono::seconds kHeartbeat{15};

// Whether a process holds the lock of the run's folder, without taking it for a moment: a run that starts
// just then would find it taken.
bool is_locked(const std::string& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) return false;
  const std::string name =
      fmt::format("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    if (line.find("FLOCK") != std::string::npos && line.find(" " + name + " ") != std::string::npos)
      return true;
  }
  return false;
}

uint64_t size_of(const std::string& path) {
  std::error_code missing;
  const auto size = fs::file_size(path, missing);
  return missing ? 0 : size;
}

// The step of the newest row of training that is whole; 0: there is none.
int64_t last_step(const std::string& path) {
  const uint64_t size = size_of(path);
  LineTail tail(path, size > kPiece ? size - kPiece : 0);
  int64_t step = 0;
  for (const LineTail::Line& line : tail.next(2 * kPiece)) {
    const Json row = Json::parse(line.text, nullptr, false);
    if (!row.is_object() || row.value("split", "") != "train") continue;
    const auto number = row.find("step");
    if (number != row.end() && number->is_number_integer()) step = number->get<int64_t>();
  }
  return step;
}

Json part(const Json& config, const std::string& pointer) {
  const Json::json_pointer place(pointer);
  return config.contains(place) ? config.at(place) : Json(nullptr);
}

// "METRICS-SAMPLES"; anything else: from the beginning.
std::pair<uint64_t, uint64_t> places_in(const std::string& id) {
  const size_t dash = id.find('-');
  if (dash == std::string::npos || dash == 0 || dash > 18 || id.size() - dash > 19 || dash + 1 == id.size())
    return {};
  const auto digits = [](const std::string& text) {
    return text.find_first_not_of("0123456789") == std::string::npos;
  };
  const std::string metrics = id.substr(0, dash), samples = id.substr(dash + 1);
  if (!digits(metrics) || !digits(samples)) return {};
  return {std::stoull(metrics), std::stoull(samples)};
}

}  // namespace

LiveRun::LiveRun(std::string folder) : folder_(std::move(folder)) {
  while (folder_.size() > 1 && folder_.ends_with('/')) folder_.pop_back();
  if (!fs::exists(folder_ + "/config.json"))
    user_error("{}: expected the folder of a run, which has a config.json; found {}", folder_,
               fs::is_directory(folder_) ? "a folder without one" : "no folder");
}

Json LiveRun::state() const {
  Json config = Json::object();
  try {
    config = read_json_file(folder_ + "/config.json");
  } catch (const UserError&) {  // it is being written
  }
  const bool final = fs::exists(folder_ + "/final/DONE"), running = is_locked(folder_ + "/lock");
  const bool asked = fs::exists(folder_ + "/stop");
  std::string state = running ? asked ? "stopping" : "training" : final ? "done" : "stopped";
  Json files = Json::object();
  for (const char* name : {MetricsLog::kMetricsFile, MetricsLog::kSamplesFile, "report.html"})
    files[name] = size_of(folder_ + "/" + name);
  return {{"name", fs::absolute(folder_).lexically_normal().filename().string()},
          {"task", part(config, "/task")},
          {"algorithm", part(config, "/algorithm/name")},
          {"model", part(config, "/model/path")},
          {"step", last_step(folder_ + "/" + MetricsLog::kMetricsFile)},
          {"steps", part(config, "/train/steps")},
          {"state", state},
          {"can_stop", running},
          {"final", final},
          {"report", fs::exists(folder_ + "/report.html")},
          {"files", files},
          {"config", config}};
}

std::string LiveRun::metrics(uint64_t from) const {
  std::string out;
  LineTail tail(folder_ + "/" + MetricsLog::kMetricsFile, from);
  if (tail.cut_back()) tail.go_to(0);
  for (auto lines = tail.next(kPiece); !lines.empty() && out.size() < kMostMetrics; lines = tail.next(kPiece))
    for (const LineTail::Line& line : lines) out += line.text + "\n";
  return out;
}

Json LiveRun::samples(uint64_t last) const {
  const std::string path = folder_ + "/" + MetricsLog::kSamplesFile;
  std::vector<Json> rows;
  // From further and further ahead of the end, until there are enough; the first line of a piece may be torn.
  for (uint64_t size = size_of(path), ahead = kPiece;; ahead *= 4) {
    const uint64_t from = size > ahead ? size - ahead : 0;
    LineTail tail(path, from);
    rows.clear();
    auto lines = tail.next(ahead);
    for (size_t i = from == 0 ? 0 : 1; i < lines.size(); ++i) {
      Json row = Json::parse(lines[i].text, nullptr, false);
      if (row.is_object()) rows.push_back(std::move(row));
    }
    if (from == 0 || rows.size() >= last || ahead > kMostMetrics) break;
  }
  if (rows.size() > last) rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(last));
  return Json(rows);
}

std::string LiveRun::report() const {
  const std::string path = folder_ + "/report.html";
  if (!fs::exists(path)) throw not_found("there is no report yet");
  return read_file(path);
}

void LiveRun::ask_to_stop() const {
  if (!is_locked(folder_ + "/lock"))
    throw ApiError(409, "invalid_request_error", "the run is not under way", "", "not_running");
  write_file_atomic(folder_ + "/stop", "");
}

void LiveRun::events(const std::string& last_id, const std::function<bool()>& ends,
                     const std::function<bool(const std::string&)>& write) const {
  const std::string samples_file = folder_ + "/" + MetricsLog::kSamplesFile;
  const auto [metrics_from, samples_from] = places_in(last_id);
  const bool known = metrics_from > 0 || samples_from > 0;
  LineTail metrics(folder_ + "/" + MetricsLog::kMetricsFile, metrics_from);
  LineTail samples(samples_file, known ? samples_from : line_near_end(samples_file, kPiece));
  std::string told;
  auto spoke = Clock::now();
  auto look_again = spoke;
  const auto send = [&](const std::string& text) {
    spoke = Clock::now();
    return write(text);
  };
  while (!ends()) {
    if (Clock::now() >= look_again) {
      look_again = Clock::now() + kLook;
      Json now = state();
      now.erase("config");
      // Sizes change with every row, which come by themselves.
      Json word = now;
      word.erase("files");
      if (dump_line(word) != told && !send(fmt::format("event: state\ndata: {}\n\n", dump_line(now)))) return;
      told = dump_line(word);
    }
    // Both files go back together.
    if (metrics.cut_back() || samples.cut_back()) {
      metrics.go_to(0);
      samples.go_to(line_near_end(samples_file, kPiece));
      if (!send("event: reset\ndata: {}\n\n")) return;
    }
    bool more = false;
    for (LineTail* tail : {&metrics, &samples}) {
      const bool of_metrics = tail == &metrics;
      for (const LineTail::Line& line : tail->next(kPiece)) {
        const uint64_t m = of_metrics ? line.end : metrics.at(), s = of_metrics ? samples.at() : line.end;
        if (!send(fmt::format("id: {}-{}\nevent: {}\ndata: {}\n\n", m, s, of_metrics ? "metrics" : "samples",
                              line.text)))
          return;
        more = true;
        if (ends()) return;
      }
    }
    if (more) continue;
    if (Clock::now() - spoke > kHeartbeat && !send(": still here\n\n")) return;
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace temper

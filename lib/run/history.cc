#include "run/history.h"

#include <cmath>
#include <limits>

#include "base/file.h"

namespace temper {
namespace {

Json numbers(const std::vector<double>& values) {
  Json out = Json::array();
  for (const double value : values) out.push_back(std::isfinite(value) ? Json(value) : Json(nullptr));
  return out;
}

std::vector<double> numbers_from(const Json& json) {
  std::vector<double> out;
  for (const Json& value : json)
    out.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
  return out;
}

}  // namespace

void RecordHistory::add(const std::string& where, const std::vector<double>& seen) {
  place = where;
  last = seen;
  ++draws;
  double sum = 0, n = 0;
  for (const double value : seen) {
    if (!std::isfinite(value)) continue;
    sum += value;
    n += 1;
  }
  if (n == 0) return;
  ++scored;
  mean += (sum / n - mean) / static_cast<double>(scored);
}

Json to_json(const History& history) {
  Json out = Json::array();
  for (const auto& [record, one] : history)
    out.push_back({record, one.place, one.draws, numbers(one.last), one.mean, one.scored});
  return out;
}

History history_from_json(const Json& json) {
  History out;
  for (const Json& one : json) {
    out[one.at(0).get<int64_t>()] = {one.at(1).get<std::string>(), one.at(2).get<int64_t>(),
                                     numbers_from(one.at(3)), one.at(4).get<double>(),
                                     one.at(5).get<int64_t>()};
  }
  return out;
}

void write_history(const std::string& run_folder, const History& history) {
  if (history.empty()) return;
  std::string lines;
  for (const auto& [record, one] : history) {
    lines += dump_line({{"record", one.place},
                        {"draws", one.draws},
                        {"last", numbers(one.last)},
                        {"mean", one.scored > 0 ? Json(one.mean) : Json(nullptr)}});
    lines += '\n';
  }
  write_file_atomic(run_folder + "/prompts.jsonl", lines);
}

}  // namespace temper

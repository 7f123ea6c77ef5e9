#include "run/state.h"

#include <cmath>

#include "base/error.h"
#include "base/version.h"

namespace temper {
namespace {

// Far beyond any run, and far from where sums of them would overflow.
constexpr int64_t kMost = int64_t{1} << 50;

int64_t count(const Json& json, const char* key, const std::string& where, int64_t most = kMost) {
  const Json& value = json.at(key);
  const bool fits = value.is_number_integer() && value >= 0 && value <= most;
  if (!fits)
    user_error("{}: {}: expected a count of at most {}, found {}", where, key, most,
               dump_line(value).substr(0, 40));
  return value.get<int64_t>();
}

const Json& typed(const Json& json, const char* key, Json::value_t type, const std::string& where) {
  const Json& value = json.at(key);
  if (value.type() != type)
    user_error("{}: {}: expected {}, found {}", where, key, Json(type).type_name(), value.type_name());
  return value;
}

std::map<int64_t, double> read_lengths(const Json& json, const std::string& where) {
  std::map<int64_t, double> out;
  for (const Json& pair : json) {
    const bool sound =
        pair.is_array() && pair.size() == 2 && pair[0].is_number_integer() && pair[1].is_number();
    const auto [at, fresh] =
        sound ? out.emplace(pair[0].get<int64_t>(), pair[1].get<double>()) : std::pair(out.end(), false);
    if (!fresh || at->first < 0 || !std::isfinite(at->second) || at->second < 0)
      user_error("{}: lengths: expected pairs of a record and a length, each record once, found {}", where,
                 dump_line(pair).substr(0, 40));
  }
  return out;
}

template <class T>
Json by_record(const std::map<int64_t, T>& values) {
  Json::object_t out;
  for (const auto& [record, value] : values) out.emplace_back(std::to_string(record), value);
  return out;
}

template <class T>
std::map<int64_t, T> read_by_record(const Json& json, const char* key, const std::string& where) {
  std::map<int64_t, T> out;
  for (const auto& [record, value] : json.items()) {
    const bool sound =
        !record.empty() && record.size() < 16 && record.find_first_not_of("0123456789") == std::string::npos;
    if (!sound)
      user_error("{}: {}: expected the number of a record, found \"{}\"", where, key, record.substr(0, 40));
    const Json& item = value;
    out[std::stoll(record)] = item.get<T>();
  }
  return out;
}

}  // namespace

std::string written_by(const Json& json) {
  const Json by = json.is_object() ? json.value("temper", Json()) : Json();
  if (by == version()) return "";
  return "; it was written by Temper " + (by.is_string() ? by.get<std::string>() : "0.1 or before");
}

std::string ReplayItem::to_line() const {
  const Json head = {{"step", step}, {"priority", priority ? Json(*priority) : Json(nullptr)}};
  std::string line = dump_line(head);
  line.back() = ',';
  return line + "\"group\":" + group + "}";
}

ReplayItem ReplayItem::from_line(const std::string& line, const std::string& where) {
  const Json json = parse_json(line, where);
  ReplayItem out;
  try {
    out.step = count(json, "step", where);
    if (const Json& priority = json.at("priority"); !priority.is_null()) {
      out.priority = priority.get<double>();
      if (!std::isfinite(*out.priority)) user_error("{}: priority: expected a finite number", where);
    }
    out.group = dump_line(typed(json, "group", Json::value_t::object, where));
  } catch (const Json::exception& e) {
    user_error("{}: not a group of a replay buffer: {}", where, e.what());
  }
  return out;
}

Json RunState::to_json() const {
  Json pairs = Json::array();
  for (const auto& [record, length] : lengths) pairs.push_back({record, length});
  return {{"temper", version()},
          {"step", step},
          {"updates", updates},
          {"tokens", tokens},
          {"cursor", cursor},
          {"best", best ? Json(*best) : Json(nullptr)},
          {"best_step", best_step},
          {"evaluation_due", evaluation_due},
          {"health", health},
          {"loop", loop},
          {"adapter", adapter},
          {"log", log.to_json()},
          {"stored_cursor", stored_cursor},
          {"reference_rewards", by_record(reference_rewards)},
          {"reference_scores", by_record(reference_scores)},
          {"eval_reference_scores", by_record(eval_reference_scores)},
          {"lengths", std::move(pairs)},
          {"order", order},
          {"history", temper::to_json(history)},
          {"leftovers", leftovers},
          {"open", open}};
}

RunState RunState::from_json(const Json& json, const std::string& where) {
  RunState s;
  try {
    s.step = count(json, "step", where);
    s.updates = count(json, "updates", where);
    s.tokens = count(json, "tokens", where);
    s.cursor = count(json, "cursor", where);
    s.stored_cursor = count(json, "stored_cursor", where);
    if (!json.at("best").is_null()) {
      s.best = json.at("best").get<double>();
      if (!std::isfinite(*s.best)) user_error("{}: best: expected a finite number", where);
    }
    s.best_step = count(json, "best_step", where, s.step);
    // Older runs have it the other way round, of the evaluation before the first step alone.
    s.evaluation_due = json.contains("evaluation_due") ? json["evaluation_due"].get<bool>()
                                                       : !json.at("evaluated_first").get<bool>();
    const auto object = Json::value_t::object;
    s.health = typed(json, "health", object, where);
    s.loop = typed(json, "loop", object, where);
    s.adapter = typed(json, "adapter", object, where);
    s.leftovers = typed(json, "leftovers", Json::value_t::array, where);
    s.reference_rewards =
        read_by_record<double>(typed(json, "reference_rewards", object, where), "reference_rewards", where);
    for (auto [key, known] : {std::pair{"reference_scores", &s.reference_scores},
                              {"eval_reference_scores", &s.eval_reference_scores}}) {
      if (json.contains(key))  // older runs have none
        *known = read_by_record<RunState::ReferenceScores::mapped_type>(typed(json, key, object, where), key,
                                                                        where);
    }
    // Older runs have none of these.
    if (json.contains("order")) s.order = typed(json, "order", object, where);
    if (json.contains("history"))
      s.history = history_from_json(typed(json, "history", Json::value_t::array, where));
    if (json.contains("open")) s.open = typed(json, "open", Json::value_t::array, where);
    if (json.contains("lengths"))
      s.lengths = read_lengths(typed(json, "lengths", Json::value_t::array, where), where);
    s.log = LogPosition::from_json(json.at("log"), where);
  } catch (const Json::exception& e) {
    user_error("{}: not a run state of Temper {}: {}{}", where, version(), e.what(), written_by(json));
  }
  return s;
}

}  // namespace temper

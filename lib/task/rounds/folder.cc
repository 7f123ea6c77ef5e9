#include "task/rounds/folder.h"

#include "base/error.h"
#include "base/file.h"
#include "task/rounds/config.h"

namespace temper {
namespace {

constexpr const char* kDoneFile = "phase.json";

Json to_json(const PhaseResult& result) {
  Json figures = Json::object();
  for (const PhaseFigure& f : result.figures) {
    Json& figure = figures[f.name] = {{"value", f.value}};
    if (f.low) figure["low"] = *f.low;
    if (f.high) figure["high"] = *f.high;
  }
  Json out{{"figures", std::move(figures)}};
  if (!result.model.empty()) out["model"] = result.model;
  if (!result.chosen.is_null()) out["chosen"] = result.chosen;
  return out;
}

std::optional<double> number(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

PhaseResult result_of(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("figures") || !json["figures"].is_object())
    user_error("{}: expected an object with \"figures\"; remove the phase's folder to do it again", where);
  PhaseResult out;
  for (const auto& [name, figure] : json["figures"].items())
    out.figures.push_back(
        {name, number(figure, "value").value_or(0), number(figure, "low"), number(figure, "high")});
  out.model = json.value("model", std::string());
  if (json.contains("chosen")) out.chosen = json["chosen"];
  return out;
}

}  // namespace

RoundsFolder::RoundsFolder(std::string run, const RoundsTask& task) : run_(std::move(run)), task_(task) {}

std::string RoundsFolder::phase_folder(int64_t round, size_t index) const {
  return fmt::format("{}/rounds/{:02}/{}-{}", run_, round, index + 1, task_.phases[index].name);
}

std::optional<PhaseResult> RoundsFolder::result(int64_t round, size_t index) const {
  const std::string file = phase_folder(round, index) + "/" + kDoneFile;
  if (!fs::exists(file)) return std::nullopt;
  return result_of(read_json_file(file), file);
}

void RoundsFolder::write_result(int64_t round, size_t index, const PhaseResult& result) const {
  write_file_atomic(phase_folder(round, index) + "/" + kDoneFile, to_json(result).dump(2) + "\n");
}

template <class F>
void RoundsFolder::back_from(int64_t round, size_t index, F each) const {
  for (int64_t r = round; r >= 0; --r) {
    for (size_t i = r == round ? index : task_.phases.size(); i-- > 0;) {
      if (fs::exists(phase_folder(r, i) + "/" + kDoneFile) && !each(r, i)) return;
    }
  }
}

std::vector<std::string> RoundsFolder::all_lines(const std::string& name, int64_t round, size_t index) const {
  std::vector<std::string> out;
  back_from(round, index, [&](int64_t r, size_t i) {
    if (task_.phases[i].name == name) out.push_back(phase_folder(r, i) + "/" + kLinesFile);
    return true;
  });
  return {out.rbegin(), out.rend()};
}

std::string RoundsFolder::lines(const std::string& name, int64_t round, size_t index) const {
  const std::vector<std::string> all = all_lines(name, round, index);
  if (all.empty()) user_error("round {}: nothing is there from phase \"{}\" yet", round, name);
  return all.back();
}

std::string RoundsFolder::last_model(const std::string& base, int64_t round, size_t index) const {
  std::string out = base;
  back_from(round, index, [&](int64_t r, size_t i) {
    const std::string model = result(r, i)->model;
    if (model.empty()) return true;
    out = phase_folder(r, i) + "/" + model;
    return false;
  });
  return out;
}

std::string RoundsFolder::last_training(const std::string& name, int64_t round, size_t index) const {
  std::string out;
  back_from(round, index, [&](int64_t r, size_t i) {
    if (task_.phases[i].name != name) return true;
    out = phase_folder(r, i) + "/run";
    return false;
  });
  return out;
}

Json RoundsFolder::chosen(const std::string& name, int64_t round, size_t index) const {
  Json out;
  back_from(round, index, [&](int64_t r, size_t i) {
    if (task_.phases[i].name != name) return true;
    out = result(r, i)->chosen;
    return false;
  });
  if (out.is_null()) user_error("round {}: nothing was chosen by a phase \"{}\" yet", round, name);
  return out;
}

void RoundsFolder::forget_models(int64_t keep, int64_t round, size_t index) const {
  int64_t seen = 0;
  back_from(round, index, [&](int64_t r, size_t i) {
    const std::string model = result(r, i)->model;
    if (!model.empty() && ++seen > keep) {
      std::error_code error;
      fs::remove_all(phase_folder(r, i) + "/" + model, error);
    }
    return true;
  });
}

std::vector<Record> read_lines(const std::string& file) {
  std::error_code error;
  if (fs::file_size(file, error) == 0 && !error) return {};
  return read_records({file});
}

void write_lines(const std::string& file, const std::vector<Record>& records) {
  std::string text;
  for (const Record& record : records) text += dump_line(record.json) + "\n";
  write_file_atomic(file, text);
}

}  // namespace temper

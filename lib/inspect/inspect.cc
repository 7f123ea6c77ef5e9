#include "inspect/inspect.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "adapter/adapter.h"
#include "base/error.h"
#include "base/file.h"
#include "data/benchmarks.h"
#include "data/formats/format.h"
#include "data/order/order.h"
#include "data/problems/problem.h"
#include "data/records.h"
#include "data/select/select.h"
#include "env/environment.h"
#include "env/tools/tool.h"
#include "eval/select/select.h"
#include "inspect/departures.h"
#include "merge/method.h"
#include "model/families.h"
#include "model/load.h"
#include "model/model.h"
#include "objective/catalogue.h"
#include "objective/inspect.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "reward/reward.h"
#include "rollout/search/text_search.h"
#include "rollout/speculate/speculator.h"
#include "run/checkpoint.h"
#include "run/folder.h"
#include "task/registry.h"
#include "task/rounds/phase.h"
#include "task/sft/inputs.h"
#include "task/sft/multistage.h"
#include "text/inspect.h"
#include "text/template.h"
#include "train/groups/replay.h"

namespace temper {
namespace {

using Kinds = std::vector<std::pair<std::string, Json>>;  // kind -> entries

template <class Base>
void add(Kinds& kinds, const std::string& kind, const Registry<Base>& registry) {
  Json entries = Json::array();
  for (const auto& entry : registry.entries()) {
    entries.push_back({{"name", entry.name},
                       {"summary", entry.summary},
                       {"source", entry.source},
                       {"departures", departures_of(kind, entry.name)},
                       {"fields", describe_fields(*entry.make())}});
  }
  kinds.emplace_back(kind, std::move(entries));
}

Kinds all_kinds() {
  Kinds kinds;
  kinds.emplace_back("objective", objective::list_objectives());
  kinds.emplace_back("objective_family", objective::list_objective_families());
  add(kinds, "input", input_registry());
  add(kinds, "filter", filter_registry());
  add(kinds, "problem", problem_registry());
  add(kinds, "selection", select_registry());
  add(kinds, "phase", phase_registry());
  add(kinds, "order", order_registry());
  add(kinds, "reward", reward_registry());
  add(kinds, "environment", environment_registry());
  add(kinds, "transform", transform_registry());
  add(kinds, "selector", selector_registry());
  add(kinds, "tool", tool_registry());
  add(kinds, "replay", replay_registry());
  add(kinds, "adapter", adapter_registry());
  add(kinds, "merge", merge_registry());
  add(kinds, "optimizer", optimizer_registry());
  add(kinds, "schedule", schedule_registry());
  add(kinds, "speculation", speculation_registry());
  add(kinds, "search", text_search_registry());
  kinds.emplace_back(
      "sampler", Json::array({{{"name", "sampling"},
                               {"summary", "penalties, temperature, truncations, one draw by inverse CDF"},
                               {"source", "formulas of the standard samplers"},
                               {"fields", describe_fields(SamplingOptions())}}}));
  Json families_json = Json::array();
  for (const Family& family : families()) {
    families_json.push_back({{"name", family.name},
                             {"summary", family.architecture},
                             {"source", "transformers 5"},
                             {"traits", family_traits(family)},
                             {"gguf", family.gguf == nullptr ? Json() : Json(family.gguf)},
                             {"keys", Json::parse(family.keys)},
                             {"fields", Json::array()}});
  }
  kinds.emplace_back("family", std::move(families_json));
  Json benchmarks_json = Json::array();
  for (const BenchmarkFormat& format : benchmark_formats()) {
    benchmarks_json.push_back({{"name", format.name},
                               {"summary", format.summary},
                               {"source", format.source},
                               {"fields", Json::array()}});
  }
  kinds.emplace_back("benchmark", std::move(benchmarks_json));
  Json formats_json = Json::array();
  for (const DataFormat& format : data_formats()) {
    formats_json.push_back({{"name", format.name},
                            {"summary", format.summary},
                            {"source", format.source},
                            {"keys", format.keys},
                            {"becomes", format.becomes},
                            {"leaves_out", format.leaves_out},
                            {"example", format.example},
                            {"fields", Json::array()}});
  }
  kinds.emplace_back("format", std::move(formats_json));
  return kinds;
}

const Json& objective_entry(const Json& entries, const std::string& name) {
  const objective::ObjectiveId id = objective::find_objective(name);
  for (const Json& entry : entries) {
    if (entry["family"] == id.family && entry["name"] == id.name) return entry;
  }
  bug("objective {}/{} is known and not listed", id.family, id.name);
}

}  // namespace

Json inspect_list(const std::string& kind, const std::string& name) {
  const Kinds kinds = all_kinds();
  std::vector<std::string> known;
  Json out = Json::object();
  for (const auto& [k, entries] : kinds) {
    known.push_back(k);
    if (kind == k) {
      if (name.empty()) return entries;
      if (kind == "objective") return objective_entry(entries, name);
      std::vector<std::string> names;
      for (const Json& entry : entries) {
        if (entry["name"] == name) return entry;
        names.push_back(entry["name"]);
      }
      const std::string near = nearest_name(name, names);
      user_error("there is no {} \"{}\"{}", kind, name,
                 near.empty() ? "" : "; did you mean \"" + near + "\"?");
    }
    out[k] = Json::array();
    for (const Json& entry : entries) {
      out[k].push_back({{"name", entry["name"]}, {"summary", entry["summary"]}, {"source", entry["source"]}});
      if (entry.contains("family")) out[k].back()["family"] = entry["family"];
    }
  }
  if (kind.empty()) return out;
  std::string all;
  for (const std::string& k : known) all += (all.empty() ? "" : ", ") + k;
  user_error("there is no kind \"{}\"; the kinds are {}", kind, all);
}

void inspect_objective_file(const std::string& name, const std::string& file, const Json& overrides,
                            const PrintLine& print) {
  for (const Record& record : read_records({file})) {
    Json batch = record.json, fields = overrides;
    try {
      if (batch.contains("set")) {
        if (!batch["set"].is_object()) user_error("\"set\": expected an object of fields and values");
        fields.update(batch["set"]);
        batch.erase("set");
      }
      print(objective::evaluate_objective(name, batch, fields));
    } catch (const UserError& error) {
      user_error("{}: {}", record.where(), error.what());
    }
  }
}

void inspect_problems(const std::string& kind, int64_t count, uint64_t seed, bool held_out,
                      const Json& options, const PrintLine& print) {
  struct Section : Fields {
    ProblemSource source;
    void fields(FieldVisitor& v) override { v.section("make", source, "problems"); }
  } section;
  Json json = options;
  json["kind"] = kind;
  read_fields(section, {{"make", json}}, "problems", ".");
  if (section.source.count || section.source.seed)
    user_error("problems: --set count or seed: give --count and --seed");
  for (int64_t i = 0; i < count; ++i)
    print(make_problem(*section.source.options, seed, held_out, i, "problems"));
}

void inspect_tokenize_file(const Tokenizer& tokenizer, const std::string& file, const EncodeOptions& options,
                           const PrintLine& print) {
  for (const Record& record : read_records({file})) {
    if (!record.json.contains("text") || !record.json["text"].is_string())
      user_error("{}: expected {{\"text\": \"...\"}}", record.where());
    print(inspect_tokenize(tokenizer, record.json["text"].get<std::string>(), options));
  }
}

Json inspect_template(const std::string& model, const std::string& chat_template, const Json& input,
                      const std::string& where, bool generation_prompt) {
  const auto tokenizer = Tokenizer::load(model);
  Json messages = input, extra = Json::object();
  if (input.is_object() && input.contains("messages")) {
    messages = input["messages"];
    extra = input;
    extra.erase("messages");
  }
  if (!messages.is_array())
    user_error("{}: expected an array of messages, or an object with \"messages\"", where);
  const ChatTemplate written_by = resolve_template(*tokenizer, chat_template);
  const EncodedChat chat = written_by.encode(*tokenizer, messages, generation_prompt, extra);
  Json out{{"text", chat.text}, {"ids", chat.ids}, {"assistant_mask", nullptr}};
  Json behind = inspect_behind(*tokenizer, written_by, messages, extra);
  if (!behind.empty()) out["behind"] = std::move(behind);
  if (!chat.unmarked.empty()) {
    out["why"] = chat.unmarked;
    return out;
  }
  Json& mask = out["assistant_mask"] = Json::array();
  for (const bool m : chat.assistant_mask) mask.push_back(m ? 1 : 0);
  return out;
}

void inspect_logprob(const std::string& model_folder, const std::string& adapter_folder,
                     const std::string& dtype, const std::string& file, const PrintLine& print) {
  const auto records = read_records({file});
  const auto model = Model::load(model_folder, make_precision(dtype, "cpu"));
  const auto adapter = adapter_folder.empty() ? nullptr : load_adapter(*model, adapter_folder);
  at::NoGradGuard guard;
  for (const Record& record : records) {
    std::vector<int64_t> ids;
    try {
      ids = record.json.at("ids").get<std::vector<int64_t>>();
    } catch (const Json::exception&) {
      user_error("{}: expected {{\"ids\": [integers]}}", record.where());
    }
    for (const int64_t id : ids) {
      if (id < 0 || id >= model->config().vocab)
        user_error("{}: id {} is outside the vocabulary of {}", record.where(), id, model->config().vocab);
    }
    Packer packer;
    const int64_t segment = packer.add_segment(ids);
    packer.add_targets(segment, 0, static_cast<int64_t>(ids.size()), 0);
    Json values = Json::array();
    if (ids.size() > 1) {
      const at::Tensor logp =
          model_logp(*model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp;
      for (int64_t t = 0; t < logp.size(0); ++t)
        values.push_back(static_cast<double>(logp.const_data_ptr<float>()[t]));
    }
    print({{"logprobs", values}});
  }
}

Json inspect_model(const std::string& folder) {
  const ModelConfig config = read_model_config(folder);
  const WeightReport report = inspect_weights(folder, parameter_shapes(config));
  return {{"family", config.family},
          {"config", config.to_json()},
          {"parameters", config.parameter_count()},
          {"dtype", report.dtype},
          {"missing", report.missing},
          {"unexpected", report.unexpected},
          {"misshapen", report.misshapen},
          {"passed_over", report.passed_over},
          {"knobs", used_knobs(config)}};
}

namespace {

// A state for people: "512 numbers" in the place of lists that nobody reads.
Json without_long_lists(const Json& value) {
  constexpr size_t kShown = 8;
  if (!value.is_structured()) return value;
  if (value.is_array() && value.size() > kShown)
    return fmt::format("{} {}", value.size(), value[0].is_number() ? "numbers" : "items");
  Json out = value;
  for (Json& part : out) part = without_long_lists(part);
  return out;
}

}  // namespace

Json inspect_run(const std::string& folder) {
  if (!fs::exists(folder + "/config.json")) user_error("{}: no run is here (config.json not found)", folder);
  Json checkpoints = Json::array();
  Json state = nullptr;
  for (const CheckpointInfo& info : list_checkpoints(folder)) {
    Json row = {{"step", info.step}, {"folder", info.folder}, {"whole", true}, {"bytes", info.done.bytes()}};
    try {
      const RunState read = read_checkpoint(info).state;
      state = read.to_json();
      for (const char* groups : {"leftovers", "open"}) state[groups] = state[groups].size();
      state["replay"] = read.replay.size();
    } catch (const UserError& e) {
      row["whole"] = false;
      row["problem"] = e.what();
    }
    checkpoints.push_back(std::move(row));
  }
  std::error_code none;
  Json last = Json::object();
  for (const MetricsRow& row : read_metrics(folder + "/" + MetricsLog::kMetricsFile))
    last[row.split] = to_json(row);
  // Of a run in rounds, what each phase has left.
  Json phases = Json::array();
  std::vector<fs::path> left;
  for (const auto& entry :
       fs::recursive_directory_iterator(folder + "/rounds", fs::directory_options::none, none))
    if (entry.path().filename() == "phase.json") left.push_back(entry.path());
  std::sort(left.begin(), left.end());
  for (const fs::path& file : left) {
    Json phase = read_json_file(file.string());
    phase["folder"] = file.parent_path().string();
    phases.push_back(std::move(phase));
  }
  Json out = {{"task", read_json_file(folder + "/config.json")["task"]},
              {"finished", fs::exists(folder + "/final")},
              {"state", without_long_lists(state)},
              {"last", last},
              {"checkpoints", checkpoints}};
  if (!phases.empty()) out["phases"] = std::move(phases);
  try {
    // One without a DONE is of a run of before there were any.
    if (fs::exists(folder + "/final/DONE")) check_content(folder + "/final", read_done(folder + "/final"));
  } catch (const UserError& e) {
    out["finished"] = false;
    out["problem"] = fmt::format("final: {}", e.what());
  }
  return out;
}

}  // namespace temper

// What temper-serve serves: the model that the command line or a run's folder names, behind one service.
#pragma once

#include <ATen/Parallel.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapter/adapter_set.h"
#include "base/file.h"
#include "base/hub.h"
#include "base/json.h"
#include "base/log.h"
#include "load_model.h"
#include "rollout/defaults.h"
#include "rollout/end_ids.h"
#include "serve/answer.h"

namespace temper {

struct ServeSettings {
  ModelArguments model;
  std::vector<std::string> adapters;
  std::string choice = "auto", name, run;
  int64_t threads = 0;
  ServiceLimits limits;
};

// The last part of a folder's path.
inline std::string folder_name(const std::string& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// Where no model is named: what the run has written into final/, a whole model, or an adapter beside its
// base. False: there is none yet.
inline bool use_final(ServeSettings& s) {
  const std::string final = s.run + "/final";
  if (!fs::exists(final + "/DONE")) return false;
  if (s.name.empty()) s.name = folder_name(s.run);
  const std::string config = final + "/adapter_config.json";
  if (!fs::exists(config)) {
    s.model.path = final;
    return true;
  }
  const Json base = read_json_file(config).value("base_model_name_or_path", Json());
  if (!base.is_string())
    user_error("{}: does not say which base model the adapter is of; give --model DIR", config);
  s.model.path = model_folder(base.get<std::string>());
  if (!fs::is_directory(s.model.path))
    user_error("{}: the base model {} is not there; give --model DIR --adapter {}", config, s.model.path,
               final);
  s.adapters.push_back(s.name + "=" + final);  // the base keeps its own name, for comparison
  s.name = folder_name(s.model.path);
  return true;
}

struct Served {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat;
  std::unique_ptr<DecodeService> service;
  ServedModel model;
};

// As temper-generate opens it. Throws UserError.
inline std::unique_ptr<Served> open_served(const ServeSettings& s) {
  auto out = std::make_unique<Served>();
  if (s.threads > 0) at::set_num_threads(static_cast<int>(s.threads));
  const auto entries = adapter_entries(s.adapters);
  for (const AdapterEntry& entry : entries) {
    if (entry.weight != 1.0)
      user_error("--adapter {}: adapters are served one at a time, each with its whole weight", entry.name);
  }
  out->tokenizer = Tokenizer::load(tokenizer_folder(s.model.path, s.adapters));
  auto model = load_model(s.model);
  if (!model->config().causal)
    user_error("--model {}: a reward model, which scores texts and writes none", s.model.path);
  if (s.choice != "auto" || !out->tokenizer->chat_template().empty())
    out->chat.emplace(resolve_template(*out->tokenizer, s.choice));
  ServedModel& served = out->model;
  served.chat = out->chat ? &*out->chat : nullptr;
  served.end_ids = end_ids(*model, *out->tokenizer, served.chat, end_ids_of(entries));
  const Json defaults = sampling_defaults(s.model.path);
  if (!defaults.empty()) {
    const std::string path = s.model.path + "/generation_config.json";
    read_fields(served.defaults.sampling, defaults, path, ".");
    log_info("where a request says nothing else, sampling as {} says: {}", path, dump_line(defaults));
  }
  served.defaults.max_samples = s.limits.max_samples;
  served.tokenizer = out->tokenizer.get();
  served.name = s.name.empty() ? folder_name(s.model.path) : s.name;
  for (const AdapterEntry& entry : entries) {
    if (entry.name == served.name)
      user_error("--adapter {}: the base model is called so; call it otherwise: NAME={}", entry.name,
                 entry.folder);
  }
  out->service = make_decode_service(std::move(model), out->tokenizer, served.end_ids, s.limits, entries);
  served.service = out->service.get();
  return out;
}

}  // namespace temper

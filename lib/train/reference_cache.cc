#include "train/reference_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "tensor/safetensors.h"
#include "train/reference.h"
#include "train/session.h"

namespace temper {
namespace {

constexpr int64_t kFormat = 1;  // counts up when the meaning of a file changes

// The weights that the run starts from.
std::string model_fingerprint(const Session& s) {
  Fingerprint f;
  f.add(s.model->config().to_json().dump());
  const std::string& path = s.config.model.path;
  if (path.empty()) {
    f.add(dump_fields(s.config.model).dump()).add(s.config.seed);
    return f.hex();
  }
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  for (const std::string& name : files) {
    const MappedFile file(name);
    f.add(fs::path(name).filename().string()).add(file.data(), file.size());
  }
  return f.hex();
}

std::string key_of(const Session& s, const Answers& answers, const std::vector<std::vector<int64_t>>& steps) {
  const RunConfig& c = s.config;
  Fingerprint f;
  f.add(kFormat).add(model_fingerprint(s)).add(c.model.dtype).add(c.device).add(c.threads);
  f.add(c.train.micro_batch_tokens).add(c.train.share_prompts ? 1 : 0).add(answers.unit);
  const auto add_ids = [&](const std::vector<int64_t>& ids) {
    f.add(ids.data(), ids.size() * sizeof(int64_t));
  };
  for (const auto& units : steps) {
    f.add(static_cast<int64_t>(units.size()));
    for (const int64_t u : units) {
      for (int64_t k = 0; k < answers.unit; ++k) {
        const Answer& a = answers.all[u * answers.unit + k];
        add_ids(a.prompt);
        add_ids(a.completion);
        add_ids({a.target.begin(), a.target.end()});
      }
    }
  }
  return f.hex();
}

std::string checksum(const at::Tensor& values) {
  return Fingerprint().add(values.const_data_ptr<float>(), values.numel() * sizeof(float)).hex();
}

// The values of a file, or undefined: there is none, or none that is whole.
at::Tensor read_values(Session& s, const std::string& path, const std::string& key, int64_t count) {
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  try {
    const SafetensorsFile file(path);
    const auto said = [&](const char* name) {
      const auto it = file.metadata().find(name);
      return it == file.metadata().end() ? "" : it->second;
    };
    const TensorInfo* info = file.find("logp");
    if (info == nullptr || info->dtype != at::kFloat || info->shape != std::vector<int64_t>{count})
      user_error("it does not hold {} log-probs", count);
    at::Tensor values = file.tensor(*info).clone();
    if (said("key") != key || said("checksum") != checksum(values)) user_error("its checksum does not fit");
    return values;
  } catch (const UserError& e) {
    s.progress->message(fmt::format("{}: damaged, computed anew: {}", path, e.what()), LogLevel::kWarning);
    return {};
  }
}

}  // namespace

ReferenceCache::ReferenceCache(Session& s, const Answers& answers,
                               const std::vector<std::vector<int64_t>>& steps)
    : begin_(answers.units(), -1), size_(answers.units(), 0) {
  int64_t count = 0;
  for (const auto& units : steps) {
    for (const int64_t u : units) {
      if (begin_[u] >= 0) continue;
      for (int64_t k = 0; k < answers.unit; ++k) {
        const auto& target = answers.all[u * answers.unit + k].target;
        size_[u] += std::count(target.begin(), target.end(), true);
      }
      begin_[u] = count;
      count += size_[u];
    }
  }
  const std::string key = key_of(s, answers, steps), folder = cache_folder() + "/reference",
                    path = fmt::format("{}/{}.safetensors", folder, key);
  values_ = read_values(s, path, key, count);
  if (values_.defined()) {
    s.progress->message("reference log-probs: read from " + path);
    return;
  }

  values_ = at::empty({count}, at::kFloat);
  std::vector<bool> known(answers.units(), false);
  for (size_t i = 0; i < steps.size(); ++i) {
    s.check_signal();
    s.progress->inner(fmt::format("reference log-probs {}/{}", i + 1, steps.size()));
    const PreferenceStep step = gather(answers, steps[i]);
    const at::Tensor logp = reference_logp(s, step.sequences, step.unit).cpu();
    int64_t begin = 0;
    for (const int64_t u : steps[i]) {
      if (!known[u]) values_.narrow(0, begin_[u], size_[u]).copy_(logp.narrow(0, begin, size_[u]));
      known[u] = true;
      begin += size_[u];
    }
  }
  s.reference.reset();  // nobody asks it again
  try {
    std::error_code error;
    fs::create_directories(folder, error);
    write_safetensors(path, {{"logp", values_}},
                      {{"format", "pt"}, {"key", key}, {"checksum", checksum(values_)}});
    s.progress->message("reference log-probs: written to " + path);
  } catch (const UserError& e) {
    s.progress->message(fmt::format("reference log-probs: kept for this run only: {}", e.what()),
                        LogLevel::kWarning);
  }
}

at::Tensor ReferenceCache::of(const std::vector<int64_t>& units) const {
  std::vector<at::Tensor> parts;
  for (const int64_t u : units) {
    if (begin_.at(u) < 0) bug("the reference log-probs of unit {} were not asked for", u);
    parts.push_back(values_.narrow(0, begin_[u], size_[u]));
  }
  return at::cat(parts);
}

std::string cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return std::string(cache) + "/temper";
  const char* home = std::getenv("HOME");
  return (home != nullptr && *home != '\0' ? std::string(home) : fs::temp_directory_path().string()) +
         "/.cache/temper";
}

}  // namespace temper

#include "rollout/defaults.h"

#include "base/json.h"
#include "model/generation.h"

namespace temper {

Json sampling_defaults(const std::string& folder) {
  const Json stored = read_generation_config(folder);
  Json out = Json::object();
  for (const char* name : {"temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff",
                           "eta_cutoff", "repetition_penalty"}) {
    if (stored.contains(name) && !stored[name].is_null()) out[name] = stored[name];
  }
  if (stored.contains("do_sample") && stored["do_sample"] == false) out["temperature"] = 0;
  return out;
}

}  // namespace temper

// A PEFT folder, {"config": adapter_config.json, "header": of adapter_model.safetensors}, put on a small
// model.
#include <ATen/ATen.h>

#include "adapter/adapter_set.h"
#include "model/model.h"
#include "safetensors_bytes.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto model =
      Model::load(TEMPER_SOURCE_DIR "/tests/model/golden/llama_linear", Precision{at::kFloat, at::kCPU});
  const std::string_view text = fuzz::text_of(data, size);
  const Json json = Json::parse(text, nullptr, false);
  const bool both = json.is_object() && json.contains("config") && json.contains("header");
  fuzz::scratch().write("adapter_config.json", both ? fuzz::dumped(json["config"]) : std::string(text));
  fuzz::scratch().write("adapter_model.safetensors",
                        fuzz::safetensors_bytes(both ? fuzz::dumped(json["header"]) : "{}"));
  fuzz::reads([&] { AdapterSet set(*model, adapter_entries({fuzz::scratch().text()})); });
  return 0;
}

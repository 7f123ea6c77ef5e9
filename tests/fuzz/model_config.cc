// config.json of a model as the whole input.
#include "fuzz.h"
#include "model/model.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::reads([&] {
    const ModelConfig config =
        ModelConfig::from_json(parse_json(std::string(fuzz::text_of(data, size)), "c"), "c");
    if (config.layers > 64) return;  // long, and nothing new
    fuzz::promise(config.parameter_count() > 0, "a model without parameters");
    const ModelConfig again = ModelConfig::from_json(config.to_json(), "again");
    fuzz::promise(again.to_json() == config.to_json(), "a config that is another when it is read again");
    Model::shapes_only(config, Precision{at::kFloat, at::kCPU});
  });
  return 0;
}

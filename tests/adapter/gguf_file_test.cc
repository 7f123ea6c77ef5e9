// Adapters in GGUF files. scripts/oracles/llama_cpp.py has llama.cpp itself read them.
#include "adapter/lora/gguf_file.h"

#include <ATen/ATen.h>

#include "adapter/adapter_set.h"
#include "adapter/peft_files.h"
#include "base/error.h"
#include "base/file.h"
#include "model/families.h"
#include "model/gguf/gguf_tensors.h"
#include "model/load.h"
#include "temp_folder.h"
#include "tensor/gguf.h"
#include "test.h"

using namespace temper;

TEST_CASE(
    "an adapter's GGUF file holds its updates, scaled as llama.cpp scales them, in the order of its rows") {
  for (const std::string name : {"names", "patterns", "all_linear", "families/qwen3_5"}) {
    CAPTURE(name);
    const std::string folder = test_file("adapter/golden/" + name);
    const std::string base = test_file(
        "model/golden/" + (name.starts_with("families/")
                               ? name
                               : read_json_file(folder + "/golden.json")["model"].get<std::string>()));
    const TempFolder out;
    combine_adapters({{"a", folder, 0.5}}, out.text("one"));
    adapter_to_gguf(out.text("one"), base, out.text("lora.gguf"));
    const GgufFile file(out.text("lora.gguf"));
    CHECK(file.text("general.type") == "adapter");
    CHECK(file.text("adapter.type") == "lora");
    const double alpha = file.number("adapter.lora.alpha");
    const ModelConfig config = read_model_config(base);
    CHECK(file.text("general.architecture") == family_of(config).gguf);
    const SafetensorsFile peft = open_adapter_tensors(out.text("one"));
    const Json json = read_json_file(out.text("one/adapter_config.json"));
    size_t updates = 0;
    for (const TensorInfo& info : peft.tensors()) {
      const std::string ending = ".lora_A.weight", prefix = kPeftPrefix;
      if (!info.name.ends_with(ending)) continue;
      const std::string module =
          info.name.substr(prefix.size(), info.name.size() - prefix.size() - ending.size());
      const std::string tensor = gguf_names(config, module + ".weight").at(0);
      REQUIRE(file.find(tensor + ".lora_a") != nullptr);
      REQUIRE(file.find(tensor + ".lora_b") != nullptr);
      const at::Tensor a = file.tensor(*file.find(tensor + ".lora_a")),
                       b = file.tensor(*file.find(tensor + ".lora_b"));
      const at::Tensor theirs =
          from_gguf(config, module + ".weight", {at::mm(b, a) * (alpha / static_cast<double>(a.size(0)))});
      // What combine_adapters() writes has its whole scale in B.
      const at::Tensor ours =
          at::mm(peft.tensor(*peft.find(prefix + module + ".lora_B.weight")), peft.tensor(info));
      CHECK(at::allclose(theirs, ours, 1e-5, 1e-7));
      ++updates;
    }
    CHECK(updates > 0);
    CHECK(file.tensors().size() == 2 * updates);
  }
}

TEST_CASE("an adapter's GGUF file: what has no place in it is named") {
  const TempFolder out;
  const std::string base = test_file("model/golden/families/qwen3_moe");
  combine_adapters({{"a", test_file("adapter/golden/families/qwen3_moe_experts"), 1.0}}, out.text("one"));
  CHECK_THROWS_WITH_AS(adapter_to_gguf(out.text("one"), base, out.text("x.gguf")),
                       doctest::Contains("merge it instead"), UserError);
  CHECK_FALSE(fs::exists(out.text("x.gguf")));
}

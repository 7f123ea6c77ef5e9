// A safetensors header ("{...") with as much data as it asks for, or a whole file.
#include "tensor/safetensors.h"

#include <ATen/ATen.h>

#include "safetensors_bytes.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  const std::string file = fuzz::scratch().write(
      "model.safetensors", text.starts_with('{') ? fuzz::safetensors_bytes(text) : text);
  fuzz::reads([&] {
    const SafetensorsFile whole(file);
    for (const TensorInfo& info : whole.tensors()) {
      const at::Tensor tensor = whole.tensor(info);
      fuzz::promise(tensor.sizes() == at::IntArrayRef(info.shape), "a tensor of another shape");
      if (tensor.numel() < 1 << 20) tensor.to(at::kDouble).sum().item<double>();  // reads every byte
      whole.release(info);
    }
  });
  fuzz::reads([&] { SafetensorsFolder folder(fuzz::scratch().text()); });
  return 0;
}

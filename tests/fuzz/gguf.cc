// A GGUF file as the whole input: its tensors, the model's shape, its tokenizer.
#include "tensor/gguf.h"

#include <ATen/ATen.h>

#include "fuzz.h"
#include "model/gguf/gguf_vocabulary.h"
#include "model/gguf/import_gguf.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = fuzz::scratch().write("m.gguf", std::string(fuzz::text_of(data, size)));
  fuzz::reads([&] {
    const GgufFile file(path);
    for (const GgufTensor& info : file.tensors()) fuzz::reads([&] { file.tensor(info).sum().item<float>(); });
    for (const std::string& key : file.keys()) {
      fuzz::reads([&] { file.text(key); });
      fuzz::reads([&] { file.integer(key); });
      fuzz::reads([&] { file.number(key); });
      fuzz::reads([&] { file.boolean(key); });
      fuzz::reads([&] { file.texts(key); });
      fuzz::reads([&] { file.integers(key); });
      fuzz::reads([&] { file.numbers(key); });
    }
    fuzz::reads([&] { config_from_gguf(file).parameter_count(); });
    fuzz::reads([&] {
      const GgufVocabulary vocabulary = read_gguf_vocabulary(file);
      tokenizer_json(vocabulary, "w");
      tokenizer_config_json(vocabulary, 2048);
    });
  });
  return 0;
}

// tokenizer.json as the whole input.
#include "text/tokenizer_folder.h"
#include "text/tokenizer_hf.h"
#include "tokenizer_checks.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  TokenizerFolder folder;
  folder.path = "t";
  folder.files["tokenizer.json"] = fuzz::text_of(data, size);
  folder.named = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  folder.special = {"<s>", "</s>"};
  fuzz::reads([&] { fuzz::check_tokenizer(*load_hf_tokenizer(std::move(folder))); });
  return 0;
}

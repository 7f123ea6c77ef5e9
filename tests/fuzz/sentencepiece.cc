// A SentencePiece model (tokenizer.model) as the whole input.
#include "text/tokenizer_folder.h"
#include "text/tokenizer_sentencepiece.h"
#include "tokenizer_checks.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  TokenizerFolder folder;
  folder.path = "t";
  folder.files["tokenizer.model"] = fuzz::text_of(data, size);
  folder.named = {{"bos_token", "<s>"}};
  folder.special = {"<s>"};
  fuzz::reads([&] { fuzz::check_tokenizer(*load_sentencepiece_tokenizer(std::move(folder))); });
  return 0;
}

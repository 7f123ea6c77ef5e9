// The files beside tokenizer.json: an object of them by name, or tokenizer_config.json alone.
#include "base/file.h"
#include "tokenizer_checks.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool copied =
      fs::copy_file(TEMPER_SOURCE_DIR "/tests/text/golden/tokenizers/smollm/tokenizer.json",
                    fuzz::scratch() / "tokenizer.json");
  fuzz::promise(copied, "no tokenizer.json");
  const std::string_view text = fuzz::text_of(data, size);
  const Json json = Json::parse(text, nullptr, false);
  bool named = false;
  for (const char* file :
       {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json"}) {
    fs::remove(fuzz::scratch() / file);
    if (!json.is_object() || !json.contains(file)) continue;
    named = true;
    fuzz::scratch().write(file,
                          json[file].is_string() ? json[file].get<std::string>() : fuzz::dumped(json[file]));
  }
  if (!named) fuzz::scratch().write("tokenizer_config.json", std::string(text));
  fuzz::reads([&] { fuzz::check_tokenizer(*Tokenizer::load(fuzz::scratch().text())); });
  return 0;
}

// Texts and ids through every kind of tokenizer: the first byte picks the tokenizer, the second how, the rest
// is text or ids.
#include <memory>

#include "tokenizer_checks.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::unique_ptr<Tokenizer>> tokenizers = [] {
    std::vector<std::unique_ptr<Tokenizer>> out;
    for (const char* name : {"deepseek", "gpt2", "llama3", "llama_legacy", "metaspace", "nfkc_bytes", "qwen",
                             "smollm", "spm_bpe", "spm_unigram", "words"})
      out.push_back(Tokenizer::load(TEMPER_SOURCE_DIR "/tests/text/golden/tokenizers/" + std::string(name)));
    return out;
  }();
  if (size < 2) return 0;
  const Tokenizer& t = *tokenizers[data[0] % tokenizers.size()];
  const unsigned how = data[1];
  const std::string_view text = fuzz::text_of(data + 2, size - 2);
  fuzz::reads([&] {
    if (how & 4) {
      std::vector<int64_t> ids;
      for (size_t i = 2; i + 1 < size; i += 2)
        ids.push_back((data[i] * 256 + data[i + 1]) % (t.vocab_size() + 3) - 1);
      fuzz::check_stream(t, ids, how & 1);
      return;
    }
    EncodeOptions options{.add_special = (how & 1) != 0, .parse_special = (how & 2) != 0};
    const size_t n = text.size();
    if ((how & 8) && n > 4) options.plain = {{n / 4, n / 2}, {n / 2 + 1, n}};
    fuzz::check_text(t, text, options);
  });
  return 0;
}

#include "text/tokenizer.h"

#include "base/error.h"
#include "text/tokenizer_folder.h"
#include "text/tokenizer_hf.h"
#include "text/tokenizer_sentencepiece.h"

namespace temper {
namespace {

class WaitingStream : public TextStream {
 public:
  WaitingStream(const Tokenizer& tokenizer, bool special) : tokenizer_(tokenizer), special_(special) {}
  std::string push(int64_t id) override {
    ids_.push_back(id);
    return "";
  }
  std::string finish() override { return tokenizer_.decode(ids_, special_); }

 private:
  const Tokenizer& tokenizer_;
  bool special_;
  std::vector<int64_t> ids_;
};

}  // namespace

std::unique_ptr<TextStream> Tokenizer::stream(bool special) const {
  return std::make_unique<WaitingStream>(*this, special);
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::string& path) {
  return load_tokenizer(read_tokenizer_folder(path));
}

std::unique_ptr<Tokenizer> load_tokenizer(TokenizerFolder folder) {
  if (folder.has("tokenizer.json")) return load_hf_tokenizer(std::move(folder));
  if (folder.has("tokenizer.model")) return load_sentencepiece_tokenizer(std::move(folder));
  user_error("{}: neither tokenizer.json nor tokenizer.model is there", folder.path);
}

}  // namespace temper

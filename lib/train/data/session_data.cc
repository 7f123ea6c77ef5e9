// The data of a session, and what turns it into tokens.
#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "env/introduce.h"
#include "text/new_tokens.h"
#include "train/session.h"

namespace temper {
namespace {

constexpr uint64_t kTokenizerBytes = 64 << 20;  // of large data, that a tokenizer is trained on
constexpr auto kQuiet = std::chrono::seconds(15);

// Of large data evenly spread ones.
std::vector<Record> sample_of(Records& records, const std::vector<std::string>& files) {
  if (!records.large()) return records.held("");
  const auto all = static_cast<double>(records.size()),
             share = static_cast<double>(kTokenizerBytes) / static_cast<double>(data_bytes(files) + 1);
  const auto count = static_cast<size_t>(std::min(all, std::max(1.0, all * share)));
  if (count < records.size())
    log_info("model.init: the tokenizer is trained on {} of the {} records, evenly spread", count,
             records.size());
  std::vector<Record> out;
  for (size_t i = 0; i < count; ++i) out.push_back(records[i * records.size() / count]);
  return out;
}

// The files of the folder that a tokenizer is read from.
bool is_tokenizer_file(const std::string& name) {
  for (const char* begin :
       {"tokenizer", "special_tokens", "added_tokens", "chat_template", "vocab", "merges"})
    if (name.starts_with(begin)) return true;
  return false;
}

std::string key_of(const EncodeSettings& settings, const std::string& folder, const Json& added_tokens,
                   const std::string& chat_template) {
  Fingerprint out;
  out.add(added_tokens.dump());
  out.add(settings.max_tokens).add(settings.overlong).add(settings.targets).add(settings.special_tokens);
  out.add(settings.add_eos ? 1 : 0).add(settings.prefix).add(settings.template_extra.dump());
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && is_tokenizer_file(entry.path().filename().string()))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) out.add(file.filename().string()).add(file_fingerprint(file.string()));
  out.add(chat_template);
  std::error_code none;
  if (fs::is_regular_file(chat_template, none)) out.add(file_fingerprint(chat_template));
  return out.hex();
}

}  // namespace

void Session::read_data() {
  const DataSection& data = config.data;
  data_cache = data.data_cache(
      [this, told = std::chrono::steady_clock::now()](const std::string& what, double share) mutable {
        if (options_.stop != nullptr && options_.stop->pending() != 0)
          throw Interrupted(options_.stop->pending());
        const std::string line = share > 0 ? fmt::format("{}: {:.0f}%", what, 100 * share) : what;
        if (options_.console == nullptr) return;
        options_.console->status(share < 1 ? line : "");
        const auto now = std::chrono::steady_clock::now();
        if (options_.console->terminal() || now - told < kQuiet) return;
        told = now;
        log_info("{}", line);
      });
  train_records = data.train_records(data_cache);
  eval_records = data.eval_share > 0 ? data.take_held_out(train_records, static_cast<uint64_t>(config.seed))
                                     : data.eval_records(data_cache);
  if (config.eval.limit > 0) eval_records.resize(static_cast<size_t>(config.eval.limit));
  data.adapt(train_records);
  data.adapt(eval_records);
}

void Session::load_text() {
  std::string folder = config.model.path.empty() ? config.model.init.tokenizer : config.model.path;
  if (folder.empty()) {
    // Trained on the run's own data; the same data gives the same tokenizer, so a resumed run finds its own.
    folder = config.run + "/tokenizer";
    if (!fs::exists(folder + "/DONE")) {
      train_sentencepiece(training_texts(sample_of(train_records, config.data.train)),
                          config.model.init.vocab, folder);
      write_file_atomic(folder + "/DONE", "");
    }
  }
  tokenizer = load_with_tokens(folder, new_tokens(config.model.add_tokens, "model.add_tokens"));
  if (config.data.chat_template != "auto" || !tokenizer->chat_template().empty()) {
    chat = std::make_unique<ChatTemplate>(resolve_template(*tokenizer, config.data.chat_template));
  }
  EncodeSettings settings = config.data.encoding();
  if (environment != nullptr) {
    introduce(*environment, *tokenizer, chat.get(), settings,
              {&train_records.held("the environment"), &eval_records.held("the environment")});
  }
  encoder = std::make_unique<RecordEncoder>(*tokenizer, chat.get(), settings);
  encoding_key = key_of(settings, folder, config.model.add_tokens, config.data.chat_template);
  const Encoding encoding{*tokenizer, *encoder, settings, encoding_key};
  for (Records* records : {&train_records, &eval_records}) {
    const std::vector<std::string> remarks = records->large() ? large_remarks(*records, encoding, data_cache)
                                                              : encoder->remarks(records->held(""));
    for (const std::string& remark : remarks) {
      log_warning("{}: {}", records == &train_records ? config.data.train_field() : config.data.eval_field(),
                  remark);
    }
  }
}

}  // namespace temper

// What temper-convert puts beside a GGUF file: what runs it in Ollama, and a card with what it lost.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/output.h"
#include "held_out_losses.h"
#include "model/generation.h"
#include "model/gguf/import_gguf.h"
#include "model/model.h"
#include "text/ollama.h"

namespace temper {

struct GgufExtras {
  bool modelfile = false;
  std::vector<std::string> perplexity;  // [NAME=]FILE
};

inline void add_gguf_extras(CLI::App& app, GgufExtras& extras) {
  app.add_flag("--modelfile", extras.modelfile,
               "with --to gguf: also a Modelfile beside DST, for \"ollama create\"");
  app.add_option(
         "--perplexity", extras.perplexity,
         "with --to gguf: [NAME=]FILE of texts; the perplexity of SRC and of DST on them is printed and put "
         "into README.md beside DST; once a file")
      ->type_size(1)
      ->allow_extra_args(false);
}

inline std::string beside(const std::string& gguf, const char* file) {
  return (fs::path(gguf).parent_path() / file).string();
}

// Throws UserError before anything is written.
inline void check_gguf_extras(const GgufExtras& extras, const std::string& target, bool to_gguf,
                              bool adapter_only) {
  if (adapter_only && (extras.modelfile || !extras.perplexity.empty()))
    user_error("--modelfile and --perplexity are about a whole model; leave out --adapter-only");
  if (!to_gguf && extras.modelfile) user_error("--modelfile is about a GGUF file; add --to gguf");
  if (!to_gguf && !extras.perplexity.empty()) user_error("--perplexity is about a GGUF file; add --to gguf");
  for (const NamedFile& file : named_files("--perplexity", extras.perplexity))
    if (!fs::exists(file.path)) user_error("--perplexity {}: there is no such file", file.argument);
  if (extras.modelfile && fs::exists(beside(target, "Modelfile")))
    user_error("{}: is there already; nothing is overwritten", beside(target, "Modelfile"));
}

// Beside the file that was made of the folder.
inline void write_modelfile(const std::string& gguf, const std::string& folder) {
  const auto tokenizer = Tokenizer::load(folder);
  std::optional<ChatTemplate> chat;
  if (!tokenizer->chat_template().empty()) chat.emplace(tokenizer->chat_template());
  std::vector<std::string> stops;
  std::vector<int64_t> ends = stored_end_ids(folder);
  if (ends.empty()) ends = model_config(folder, {}).eos_ids;
  for (const int64_t id : ends)
    if (id < tokenizer->vocab_size()) stops.push_back(tokenizer->piece(id));
  write_file_atomic(beside(gguf, "Modelfile"), ollama_modelfile(fs::path(gguf).filename().string(),
                                                                chat ? &*chat : nullptr, *tokenizer, stops));
}

// Perplexity of a folder's model on the files, by name.
inline Json perplexities(const std::string& folder, const std::vector<std::string>& files,
                         const char* which) {
  const auto model = Model::load(folder, make_precision("auto", "cpu"));
  const auto tokenizer = Tokenizer::load(folder);
  std::optional<ChatTemplate> chat;
  if (!tokenizer->chat_template().empty()) chat.emplace(tokenizer->chat_template());
  const int64_t max_tokens = std::min<int64_t>(model->config().max_positions, 4096);
  const RecordEncoder encoder(*tokenizer, chat ? &*chat : nullptr, {.max_tokens = max_tokens});
  Console console;
  const Json figures =
      loss_figures(*model, read_loss_files(files, "jsonl", encoder, 0, max_tokens), 0.95,
                   [&](const std::string& name, size_t done) {
                     console.status(fmt::format("perplexity {}: {}, {} records", which, name, done));
                   });
  console.status("");
  return figures;
}

// Measures the file beside what the folder was before. What the card had of other files stays.
inline void write_card(const std::string& gguf, const std::string& folder, const std::string& type,
                       const std::vector<std::string>& files, const Json& before) {
  const TemporaryFolder read_back(gguf + ".read");
  gguf_to_folder(gguf, read_back.path(), std::nullopt);
  const Json after = perplexities(read_back.path(), files, "after");
  const std::string head =
      "\n## GGUF files\n\n| file | type | MB | text | tokens | perplexity before | after |\n"
      "|---|---|---|---|---|---|---|\n";
  std::string rows;
  for (const NamedFile& file : named_files("--perplexity", files)) {
    const Json &b = before["perplexity/" + file.name], &a = after["perplexity/" + file.name];
    const double from = b["value"], to = a["value"];
    std::fprintf(stderr, "perplexity on %s (%lld tokens): %.4f before, %.4f after (%+.2f %%)\n",
                 file.name.c_str(), static_cast<long long>(b["tokens"]), from, to, 100 * (to / from - 1));
    rows += fmt::format(
        "| {} | {} | {:.1f} | {} | {} | {:.4f} | {:.4f} |\n", fs::path(gguf).filename().string(), type,
        static_cast<double>(fs::file_size(gguf)) / 1e6, file.name, b["tokens"].get<int64_t>(), from, to);
  }
  const std::string path = beside(gguf, "README.md");
  std::string card;
  for (const std::string& source : {path, folder + "/README.md"})
    if (card.empty() && fs::exists(source)) card = read_file(source);
  if (card.empty()) card = "# " + fs::path(gguf).stem().string() + "\n";
  const size_t there = card.find(head);
  // The section is the card's last.
  card += (there == std::string::npos ? head : "") + rows;
  write_file_atomic(path, card);
}

// write: makes the file of the folder. What can go wrong with the texts does so before.
inline void write_with_extras(const GgufExtras& extras, const std::string& gguf, const std::string& folder,
                              const std::string& type, const std::function<void()>& write) {
  Json before;
  if (!extras.perplexity.empty()) before = perplexities(folder, extras.perplexity, "before");
  write();
  if (extras.modelfile) write_modelfile(gguf, folder);
  if (!extras.perplexity.empty()) write_card(gguf, folder, type, extras.perplexity, before);
}

}  // namespace temper

// temper-convert: changes a model's dtype, merges an adapter into it, and goes between Hugging Face folders
// and GGUF.
#include "model/convert.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "adapter/merge.h"
#include "base/file.h"
#include "common.h"
#include "model/import_gguf.h"
#include "text/tokenizer.h"
#include "text/tokenizer_sentencepiece_model.h"

using namespace temper;

namespace {

// A folder beside `path` for what is not whole yet; gone when the work fails.
struct Stage {
  std::string path;
  explicit Stage(const std::string& beside, const char* what)
      : path(fmt::format("{}.{}.{}", beside, what, ::getpid())) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) user_error("{}: cannot create the folder: {}", path, error.message());
  }
  ~Stage() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

// tokenizer.json, else tokenizer.model with the tokens that the folder adds to it.
GgufVocabulary vocabulary_of(const std::string& folder) {
  if (fs::exists(folder + "/tokenizer.json")) return vocabulary_from_folder(folder);
  const std::string path = folder + "/tokenizer.model";
  if (!fs::exists(path))
    user_error("{}: GGUF needs a tokenizer, but there is no tokenizer.json or tokenizer.model", folder);
  const SentencePieceModel model = parse_sentencepiece(read_file(path), path);
  if (!model.bpe)
    user_error("{}: llama.cpp reads SentencePiece BPE models; this one is of another kind", path);
  GgufVocabulary v;
  v.model = "llama";
  v.add_space_prefix = model.add_dummy_prefix;
  for (const auto& piece : model.pieces) {
    if (piece.type == SentencePieceModel::kUnknown) v.unk = static_cast<int64_t>(v.tokens.size());
    v.tokens.push_back(piece.text);
    v.scores.push_back(piece.score);
    v.types.push_back(piece.type);
  }
  const auto tokenizer = Tokenizer::load(folder);
  for (int64_t id = 0; id < tokenizer->vocab_size(); ++id) {
    const auto at = static_cast<size_t>(id);
    if (at >= v.tokens.size()) {
      v.tokens.push_back(tokenizer->piece(id));
      v.scores.push_back(0.0f);
      v.types.push_back(GgufVocabulary::kUserDefined);
    }
    if (tokenizer->is_special(id) && v.types[at] != GgufVocabulary::kUnknown)
      v.types[at] = GgufVocabulary::kControl;
  }
  v.add_bos = tokenizer->bos().has_value();
  read_tokenizer_config(folder, v);
  return v;
}

// --beyond OTHER --by ALPHA: source + alpha (source - other).
struct Extrapolation {
  std::string other;
  double alpha = 0.5;
};

void convert(const std::string& source, const std::string& target, const std::string& adapter,
             const std::string& dtype_text, bool to_gguf, const Extrapolation& beyond) {
  std::optional<at::ScalarType> dtype;
  if (!dtype_text.empty()) dtype = weight_dtype(dtype_text);
  if (!fs::exists(source)) user_error("{}: there is no such file or folder", source);
  const bool taken = to_gguf ? fs::exists(target)
                             : fs::exists(target) && !(fs::is_directory(target) && fs::is_empty(target));
  if (taken)
    user_error("{}: is there already; nothing is overwritten, choose another name or remove it", target);
  std::string name = target;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  const fs::path parent = fs::path(name).parent_path();
  if (!parent.empty()) fs::create_directories(parent);

  // GGUF -> folder -> merged folder -> GGUF, as far as asked for; the target appears whole or not at all.
  std::optional<Stage> imported, finished;
  std::string folder = source;
  if (!fs::is_directory(source)) {
    imported.emplace(name, "import");
    gguf_to_folder(source, imported->path, adapter.empty() ? dtype : std::nullopt);
    folder = imported->path;
  }
  if (!adapter.empty()) {
    finished.emplace(name, "merge");
    const double change = merge_folder(folder, adapter, finished->path, dtype);
    std::fprintf(stderr, "merged %s: largest change of a log-prob on 64 tokens %.3g, before rounding\n",
                 adapter.c_str(), change);
    folder = finished->path;
  }
  if (!beyond.other.empty()) {
    std::optional<Stage> moved;
    moved.emplace(name, "beyond");
    extrapolate_folder(folder, beyond.other, beyond.alpha, moved->path, dtype);
    finished.swap(moved);
    folder = finished->path;
  }
  if (to_gguf) return folder_to_gguf(folder, name, dtype, vocabulary_of(folder));
  if (folder == source) {
    finished.emplace(name, "cast");
    cast_folder(source, finished->path, dtype);
    folder = finished->path;
  }
  sync_path(folder);
  std::error_code error;
  fs::rename(folder, name, error);
  if (error) user_error("{}: cannot rename into place: {}", name, error.message());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Copies a model: another dtype, an adapter merged in, from or to GGUF.", "temper-convert"};
  std::string source, target, adapter, dtype, to = "hf";
  Extrapolation beyond;
  app.add_option("SRC", source, "a Hugging Face folder or a GGUF file")->required();
  app.add_option("DST", target, "the new folder, or file with --to gguf; must not be there yet")->required();
  app.add_option("--adapter", adapter, "an adapter folder to merge into the weights");
  app.add_option(
      "--beyond", beyond.other,
      "a folder of the same shape: moves the weights on, away from its (ExPO), as of a reward model "
      "trained on comparisons away from one trained on ratings");
  app.add_option("--by", beyond.alpha, "how far, in lengths of the way from there to here; default 0.5");
  app.add_option("--dtype", dtype, "f32, bf16 or f16; default: the source's, f32 for quantised weights");
  app.add_option("--to", to, "hf or gguf")->check(CLI::IsMember({"hf", "gguf"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitDone : kExitUser;
  }
  return run_app("temper-convert", [&] {
    convert(source, target, adapter, dtype, to == "gguf", beyond);
    std::fprintf(stderr, "wrote %s\n", target.c_str());
    return kExitDone;
  });
}

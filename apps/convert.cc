// temper-convert: changes a model's dtype, merges adapters into it or models with it, and goes between
// Hugging Face folders and GGUF; with "config", makes Temper's config of another program's; with "log", other
// programs' logs of a run.
#include "model/convert.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "adapter/adapter_set.h"
#include "adapter/lora/gguf_file.h"
#include "adapter/merge.h"
#include "base/file.h"
#include "base/hub.h"
#include "base/output.h"
#include "common.h"
#include "convert_adapters.h"
#include "folder_vocabulary.h"
#include "foreign_config.h"
#include "gguf_extras.h"
#include "merge_arguments.h"
#include "model/gguf/gguf_mixture.h"
#include "model/gguf/import_gguf.h"
#include "run_log.h"

using namespace temper;

namespace {

void convert(const std::string& source, const std::string& target, const Adapters& adapters,
             const std::string& dtype_text, bool to_gguf, const GgufExtras& extras,
             const MergeArguments& merge) {
  check_gguf_extras(extras, target, to_gguf, adapters.only);
  if ((adapters.unmerge || adapters.only) && adapters.texts.empty())
    user_error("--unmerge and --adapter-only say what to do with an --adapter, and none is given");
  if (adapters.only && (adapters.unmerge || !merge.merge.empty() || !dtype_text.empty()))
    user_error("--adapter-only writes an adapter; it goes with none of --unmerge, --merge and --dtype");
  if (!adapters.texts.empty() && !merge.merge.empty())
    user_error("--adapter: --merge takes adapters as models, by --with DIR or in its recipe");
  check_merge_options(merge);
  std::optional<MergeRecipe> recipe;
  if (!merge.merge.empty()) recipe = read_merge_recipe(merge, source);
  const auto entries = adapter_entries(adapters.texts);
  const auto& mixtures = gguf_mixtures();
  const bool few_bits = std::find(mixtures.begin(), mixtures.end(), dtype_text) != mixtures.end();
  if (few_bits && !to_gguf)
    user_error("--dtype {}: weights of few bits are written to GGUF files alone; add --to gguf", dtype_text);
  std::optional<at::ScalarType> dtype;
  if (!dtype_text.empty() && !few_bits) dtype = weight_dtype(dtype_text);
  if (!merge.recipe() && !fs::exists(source)) user_error("{}: there is no such file or folder", source);
  const bool is_file = to_gguf || !merge.statistics.empty();
  const bool taken = is_file ? fs::exists(target)
                             : fs::exists(target) && !(fs::is_directory(target) && fs::is_empty(target));
  if (taken)
    user_error("{}: is there already; nothing is overwritten, choose another name or remove it", target);
  const fs::path parent = fs::path(target).parent_path();
  std::error_code error;
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) user_error("{}: cannot create the folder: {}", parent.string(), error.message());

  if (!merge.statistics.empty()) return take_statistics(merge, source, target);

  // Several adapters, or a weighted one, are one adapter.
  std::unique_ptr<TemporaryFolder> combined;
  std::string adapter = entries.empty() ? "" : entries[0].folder;
  if (entries.size() > 1 || (!entries.empty() && entries[0].weight != 1.0) || adapters.only) {
    combined = std::make_unique<TemporaryFolder>(target);
    combine_adapters(entries, combined->path());
    if (adapters.only && to_gguf) return adapter_to_gguf(combined->path(), source, target);
    if (adapters.only) return combined->commit();
    adapter = combined->path();
  }

  // GGUF -> folder -> merged folder -> GGUF, as far as asked for; the target appears whole or not at all.
  // What a step was made from goes when the step is done.
  std::unique_ptr<TemporaryFolder> made;
  std::string folder = source;
  const auto step = [&](const auto& work) {
    auto next = std::make_unique<TemporaryFolder>(target);
    work(next->path());
    made = std::move(next);
    folder = made->path();
  };
  if (recipe) {
    step([&](const std::string& to) { merge_and_tell(merge, *recipe, to, dtype); });
  } else if (!fs::is_directory(source)) {
    step([&](const std::string& to) { gguf_to_folder(source, to, adapter.empty() ? dtype : std::nullopt); });
  }
  if (!adapter.empty()) {
    step([&](const std::string& to) {
      const auto work = adapters.unmerge ? unmerge_folder : merge_folder;
      const double change = work(folder, adapter, to, dtype);
      std::fprintf(stderr, "%s %s: largest change of a log-prob on 64 tokens %.3g, before rounding\n",
                   adapters.unmerge ? "unmerged" : "merged",
                   fmt::format("{}", fmt::join(adapters.texts, ", ")).c_str(), change);
    });
  }
  if (to_gguf) {
    const std::string type = dtype_text.empty() ? "as SRC" : dtype_text;
    return write_with_extras(extras, target, folder, type, [&] {
      folder_to_gguf(folder, target, dtype, vocabulary_of(folder), few_bits ? dtype_text : "");
    });
  }
  if (!made) step([&](const std::string& to) { cast_folder(source, to, dtype); });
  made->commit();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Copies a model: another dtype, adapters or other models merged in, from or to GGUF.",
               "temper-convert"};
  std::string source, target, dtype, to = "hf";
  Adapters adapters;
  GgufExtras extras;
  MergeArguments merge;
  ForeignConfig foreign;
  RunLog run_log;
  const CLI::App *config = add_foreign_config(app, foreign), *log = add_run_log(app, run_log);
  app.add_option("SRC", source, "a Hugging Face folder or a GGUF file");
  app.add_option("DST", target, "the new folder, or file with --to gguf; must not be there yet");
  add_adapter_options(app, adapters);
  app.add_option(
      "--dtype", dtype,
      fmt::format(
          "f32, bf16 or f16; with --to gguf also {}; default: the source's, f32 for quantised weights",
          fmt::join(gguf_mixtures(), ", ")));
  app.add_option("--to", to, "hf or gguf")->check(CLI::IsMember({"hf", "gguf"}));
  add_gguf_extras(app, extras);
  add_merge_options(app, merge);
  return run_app(app, argc, argv, [&]() -> int {
    if (*config) return convert_config(foreign);
    if (*log) return convert_log(run_log);
    if (source.empty()) user_error("SRC: missing; expected SRC and DST");
    if (merge.recipe()) {  // which says what is read: the one name is DST
      if (!target.empty())
        user_error("--merge {}: takes DST alone, found {} and {}", merge.merge, source, target);
      target = std::exchange(source, "");
    }
    if (target.empty()) user_error("DST: missing; expected SRC and DST");
    if (!merge.recipe()) source = model_folder(source);
    convert(source, target, adapters, dtype, to == "gguf", extras, merge);
    std::fprintf(stderr, "wrote %s\n", target.c_str());
    return kExitDone;
  });
}

// Which adapters temper-convert takes, and what it does with them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace temper {

// --adapter, as often as wished, with --unmerge or --adapter-only.
struct Adapters {
  std::vector<std::string> texts;
  bool unmerge = false, only = false;
};

inline void add_adapter_options(CLI::App& app, Adapters& adapters) {
  app.add_option("--adapter", adapters.texts,
                 "an adapter folder to merge into the weights: DIR or DIR@WEIGHT; several are summed")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_flag("--unmerge", adapters.unmerge, "SRC has the adapter merged in: take it out again");
  app.add_flag(
      "--adapter-only", adapters.only,
      "DST becomes the weighted sum of the adapters, as one adapter folder, or with --to gguf a file for "
      "llama.cpp's --lora");
}

}  // namespace temper

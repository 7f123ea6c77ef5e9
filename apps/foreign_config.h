// temper-convert config: Temper's config of another program's.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "common.h"
#include "migrate/migrate.h"
#include "migrate/trl.h"

namespace temper {

struct ForeignConfig {
  std::string file, from, trainer, output;
  bool strict = false;
};

inline const CLI::App* add_foreign_config(CLI::App& app, ForeignConfig& a) {
  CLI::App* config = app.add_subcommand(
      "config", "Temper's config of another program's; says key by key what is carried and what is not");
  config
      ->add_option("FILE", a.file, "TRL's, axolotl's or LLaMA-Factory's YAML, or PEFT's adapter_config.json")
      ->required();
  config->add_option("-o,--output", a.output,
                     "the config; its relative paths are from there [standard output]");
  config->add_option("--from", a.from, "whose it is [told by its keys]")
      ->check(CLI::IsMember(config_sources()));
  config->add_option("--trainer", a.trainer, "TRL's, for which the file is meant [told by its keys]")
      ->check(CLI::IsMember(trl_trainers()));
  config->add_flag("--strict", a.strict, "exit code 2, and no config, unless every key was carried");
  return config;
}

inline int convert_config(const ForeignConfig& a) {
  demand_output("--output", a.output);
  if (!a.output.empty() && fs::exists(a.output))
    user_error("{}: is there already; nothing is overwritten, choose another name or remove it", a.output);
  const fs::path parent = fs::path(a.output).parent_path();
  const Migrated migrated = migrate_config(a.file, a.from, a.trainer, parent.empty() ? "." : parent.string());
  std::fputs(printable(a.file + ": " + migration_report(migrated)).c_str(), stderr);
  if (a.strict && !migrated.whole())
    user_error("{}: not all of it was carried (--strict); what was not is listed above", a.file);
  const std::string text = migrated.config.dump(2) + "\n";
  if (a.output.empty())
    print_text(text);
  else
    write_file_atomic(a.output, text);
  return kExitDone;
}

}  // namespace temper

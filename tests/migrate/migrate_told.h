// What the tests of all sources ask of a Migrated.
#pragma once

#include <string>

#include "base/json.h"
#include "migrate/migrate.h"
#include "temp_folder.h"

namespace temper {

// The config of a text that stands in a file.
inline Migrated migrate_text(const std::string& text, const std::string& from = "",
                             const std::string& trainer = "") {
  const TempFolder folder;
  return migrate_config(folder.write("config.yaml", text), from, trainer, ".");
}

// "lost: why", "carried: where", "no sense: why", "unknown: why"; "" where nothing is told of the key.
inline std::string told_of(const Migrated& migrated, const std::string& key) {
  for (const KeyReport& report : migrated.keys) {
    if (report.key != key) continue;
    const char* fate = report.fate == KeyReport::kCarried   ? "carried: "
                       : report.fate == KeyReport::kNoSense ? "no sense: "
                       : report.fate == KeyReport::kLost    ? "lost: "
                                                            : "unknown: ";
    return fate + report.text;
  }
  return "";
}

// Equal in whatever order their keys stand.
inline bool same(const Json& a, const Json& b) {
  return nlohmann::json::parse(a.dump()) == nlohmann::json::parse(b.dump());
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace temper

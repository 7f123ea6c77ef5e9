// The tool search.
#pragma once

#include "env/tools/tool.h"

namespace temper {

// Passages: of a .jsonl file a line each, its text `column`, behind its "title" where it has one; of any
// other file what stands between empty lines.
struct SearchOptions : ToolOptions {
  SearchOptions();
  std::vector<std::string> files;
  std::string column = "text";
  int64_t results = 3;
  double k1 = 1.2, b = 0.75;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::vector<std::unique_ptr<Tool>> make() const override;  // reads the files
};

}  // namespace temper

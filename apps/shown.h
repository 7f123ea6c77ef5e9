// How temper-eval shows its figures: JSON for programs, tables for people, and a page.
#pragma once

#include <unistd.h>

#include <string>

#include "base/json.h"
#include "common.h"
#include "report/evaluation.h"

namespace temper {

// To standard output, as tables on a terminal or where they are asked for.
inline void show_figures(const Json& out, bool table, bool json) {
  if (table || (!json && ::isatty(1) != 0))
    print_text(evaluation_text(out));
  else
    std::printf("%s\n", out.dump(2).c_str());
  std::fflush(stdout);  // a failure is told at the end: the samples can be saved all the same
}

}  // namespace temper

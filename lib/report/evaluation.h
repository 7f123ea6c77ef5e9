// What temper-eval prints, for people: as text tables, and as one page that opens offline.
#pragma once

#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

// A table of an evaluation, of words.
struct EvaluationTable {
  std::string title;                           // may be empty
  std::vector<std::string> columns;            // the first names the rows
  std::vector<std::vector<std::string>> rows;  // as long as columns
};

// The tables of what temper-eval prints as JSON: its figures, those that are extrapolated, a verifier's
// worth, the break-downs by columns, a comparison. Sections that are not there make none.
std::vector<EvaluationTable> evaluation_tables(const Json& evaluation);

// Aligned columns, numbers to the right, an empty line between tables.
std::string evaluation_text(const Json& evaluation);

// One file, inline SVG, no script. The same JSON gives the same bytes.
std::string evaluation_html(const Json& evaluation, const std::string& title);

}  // namespace temper

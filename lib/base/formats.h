// Files that are no text.
#pragma once

#include <string>
#include <string_view>

namespace temper {

// Throws UserError for text that begins like UTF-16, an archive or Parquet, and says which, with `where` in
// front.
void refuse_other_formats(std::string_view text, const std::string& where);

}  // namespace temper

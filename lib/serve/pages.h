// The pages for a browser, which ask for nothing but what stands beside them; the build makes this of
// lib/serve/pages.
#pragma once

#include <string_view>

namespace temper {

// A file's bytes: "chat.html", "live.html", or what these name. Empty: there is none of the name.
std::string_view page_file(std::string_view name);

}  // namespace temper

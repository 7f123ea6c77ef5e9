// Who is let in.
#pragma once

#include <string>

#include "serve/http_server.h"

namespace temper {

struct GuardRules {
  std::string key;        // "": none is asked for
  bool loopback = false;  // only this machine reaches the server
};

// Throws ApiError: no or another key (401); without a key on loopback, a Host that is neither an address nor
// localhost, by which a web page's own name that leads to this machine would get in (403); a page of another
// place (403). open: paths that load without a key.
void admit(const GuardRules& rules, const HttpRequest& request, bool open);

// In a time that does not tell where they differ.
bool same_secret(const std::string& a, const std::string& b);

// The key of a file, blanks at its ends left out; of TEMPER_API_KEY where there is no file; "": none. Throws
// UserError for a file without one, and for keys that no header can hold.
std::string read_api_key(const std::string& file);

}  // namespace temper

// The parts of an HTTP request that need no network: addresses, values from the environment, waiting times.
#pragma once

#include <ctime>
#include <map>
#include <optional>
#include <string>

namespace temper {

struct HttpUrl {
  bool tls = false;
  std::string host;  // a name or a numeric address; IPv6 without its brackets
  int port = 80;
  std::string target = "/";  // path and query, sent as they are written

  // For people: scheme, host, port and path. A query may hold a key, so it is left out.
  std::string shown() const;
};

// "http://host[:port][/path][?query]" or https. Throws UserError, naming `where`, for anything else; a name
// and password in it are refused, because errors and run folders show addresses.
HttpUrl parse_http_url(const std::string& url, const std::string& where);

// Text with every ${NAME} replaced by the environment's value, which is added to `secrets` under its name.
// Throws UserError, naming `where` and never showing a value, when the variable is not set, holds a character
// that no header may hold (RFC 9110, 5.5: controls, line ends), or "${" is not closed.
std::string expand_environment(const std::string& text, const std::string& where,
                               std::map<std::string, std::string>& secrets);

// The text with every secret's value replaced by ${NAME}, for what servers say back.
std::string without_secrets(std::string text, const std::map<std::string, std::string>& secrets);

// Seconds from `now` that a Retry-After header asks for: a count of seconds, or a date in one of the three
// forms of RFC 9110, 5.6.7 (0: in the past). nullopt: neither.
std::optional<double> retry_after_s(const std::string& value, std::time_t now);

}  // namespace temper

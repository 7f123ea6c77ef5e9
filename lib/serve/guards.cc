#include "serve/guards.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "serve/api_error.h"

namespace temper {
namespace {

// Without the port: "127.0.0.1:80", "[::1]:80", "localhost".
std::string host_of(const std::string& header) {
  if (header.starts_with('[')) return header.substr(1, header.find(']') - 1);
  return header.substr(0, header.find(':'));
}

bool is_address_or_localhost(const std::string& host) {
  in6_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1 || ::inet_pton(AF_INET6, host.c_str(), &address) == 1)
    return true;
  std::string name = host;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name == "localhost";
}

}  // namespace

bool same_secret(const std::string& a, const std::string& b) {
  volatile unsigned char differs = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i)
    differs = differs | static_cast<unsigned char>(a[i] ^ (b.empty() ? 1 : b[i % b.size()]));
  return differs == 0;
}

void admit(const GuardRules& rules, const HttpRequest& request, bool open) {
  const std::string host = request.header("host"), origin = request.header("origin");
  if (rules.key.empty()) {
    if (rules.loopback && !host.empty() && !is_address_or_localhost(host_of(host)))
      throw forbidden(
          "the Host header is neither an address nor localhost; ask for the server by one of them, "
          "or start it with --api-key-file");
    if (!origin.empty() && origin != "http://" + host)
      throw forbidden("pages of other places are not let in; start the server with --api-key-file");
    return;
  }
  if (open) return;
  constexpr std::string_view kBearer = "Bearer ";
  const std::string given = request.header("authorization");
  if (!given.starts_with(kBearer)) throw unauthorised("an API key is asked for: Authorization: Bearer KEY");
  if (!same_secret(given.substr(kBearer.size()), rules.key)) throw unauthorised("the API key is another one");
}

std::string read_api_key(const std::string& file) {
  std::string key, where = file;
  if (!file.empty()) {
    key = read_file(file, 1 << 16);
    const size_t begin = key.find_first_not_of(" \t\r\n");
    if (begin == std::string::npos) user_error("--api-key-file {}: expected a key, found nothing", file);
    key = key.substr(begin, key.find_last_not_of(" \t\r\n") - begin + 1);
  } else {
    const char* set = std::getenv("TEMPER_API_KEY");
    key = set == nullptr ? "" : set;
    where = "TEMPER_API_KEY";
  }
  if (!std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 127; }))
    user_error("{}: expected a key of one word in ASCII, which a header can hold", where);
  return key;
}

}  // namespace temper

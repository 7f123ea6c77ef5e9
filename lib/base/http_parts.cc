#include "base/http_parts.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <locale>
#include <sstream>

#include "base/error.h"

namespace temper {
namespace {

constexpr double kLongest = 1e9;  // seconds that anyone may ask for

std::optional<int> port_number(const std::string& text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535)
    return std::nullopt;
  return port;
}

bool printable_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::string HttpUrl::shown() const {
  const std::string named = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  return fmt::format("{}://{}:{}{}", tls ? "https" : "http", named, port, target.substr(0, target.find('?')));
}

HttpUrl parse_http_url(const std::string& url, const std::string& where) {
  HttpUrl out;
  const size_t scheme = url.find("://");
  out.tls = url.starts_with("https://");
  if (!out.tls && !url.starts_with("http://"))
    user_error("{}: expected http://host:port/path or https://host/path", where);
  const size_t begin = scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  std::string place = url.substr(begin, end - begin);
  if (place.find('@') != std::string::npos) {
    user_error(
        "{}: holds a name and password, which run folders would keep; send them as a header: "
        "{{\"Authorization\": \"Basic ${{NAME}}\"}}",
        where);
  }
  out.port = out.tls ? 443 : 80;
  const size_t bracket = place.starts_with("[") ? place.find(']') : 0;
  if (bracket == std::string::npos) user_error("{}: a bracket is not closed", where);
  if (const size_t colon = place.find(':', bracket); colon != std::string::npos) {
    const auto port = port_number(place.substr(colon + 1));
    if (!port) user_error("{}: expected a port from 1 to 65535 behind the host", where);
    out.port = *port;
    place.erase(colon);
  }
  out.host = bracket > 0 ? place.substr(1, bracket - 1) : place;
  if (out.host.empty()) user_error("{}: no host in it; expected http://host:port/path", where);
  out.target = url.substr(end, url.find('#', end) - end);
  if (!out.target.starts_with("/")) out.target = "/" + out.target;
  if (!printable_ascii(out.host) || !printable_ascii(out.target))
    user_error("{}: expected no spaces and ASCII alone; write other characters as %XX", where);
  return out;
}

std::string expand_environment(const std::string& text, const std::string& where,
                               std::map<std::string, std::string>& secrets) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t open = std::min(text.find("${", at), text.size());
    out += text.substr(at, open - at);
    if (open == text.size()) break;
    const size_t close = text.find('}', open);
    if (close == std::string::npos) user_error("{}: \"${{\" is not closed; expected ${{NAME}}", where);
    const std::string name = text.substr(open + 2, close - open - 2);
    const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') {
      user_error("{}: the environment has no {}; set it before the start: export {}=...", where,
                 name.empty() ? "variable without a name" : name, name.empty() ? "NAME" : name);
    }
    const std::string_view held(value);
    if (std::any_of(held.begin(), held.end(),
                    [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; })) {
      user_error("{}: {} in the environment holds a line end or another control character", where, name);
    }
    secrets[name] = value;
    out += held;
    at = close + 1;
  }
  return out;
}

std::string without_secrets(std::string text, const std::map<std::string, std::string>& secrets) {
  for (const auto& [name, value] : secrets) {
    const std::string shown = "${" + name + "}";
    for (size_t at = 0; (at = text.find(value, at)) != std::string::npos; at += shown.size())
      text.replace(at, value.size(), shown);
  }
  return text;
}

std::optional<double> retry_after_s(const std::string& value, std::time_t now) {
  if (!value.empty() && value.find_first_not_of("0123456789") == std::string::npos)
    return std::min(kLongest, std::strtod(value.c_str(), nullptr));
  for (const char* form :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    std::istringstream in(value);
    in.imbue(std::locale::classic());
    std::tm date{};
    in >> std::get_time(&date, form);
    const std::time_t at = ::timegm(&date);  // and the weekday that belongs to it
    // get_time takes half a date for a whole one.
    std::ostringstream again;
    again.imbue(std::locale::classic());
    again << std::put_time(&date, form);
    if (again.str() == value) return std::clamp(std::difftime(at, now), 0.0, kLongest);
  }
  return std::nullopt;
}

}  // namespace temper

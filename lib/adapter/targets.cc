#include "adapter/targets.h"

#include <oniguruma.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace temper {

struct WholeMatch::State {
  regex_t* regex = nullptr;
  std::string pattern, where;
  ~State() {
    if (regex != nullptr) onig_free(regex);
  }
};

WholeMatch::WholeMatch(const std::string& pattern, const std::string& where)
    : state_(std::make_unique<State>()) {
  state_->pattern = pattern.substr(0, 200);
  state_->where = where;
  const std::string whole = "\\A(?:" + pattern + ")\\Z";
  const auto* begin = reinterpret_cast<const UChar*>(whole.data());
  OnigErrorInfo info;
  OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
  onig_initialize(encodings, 1);
  const int code = onig_new(&state_->regex, begin, begin + whole.size(), ONIG_OPTION_DEFAULT,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_PYTHON, &info);
  if (code != ONIG_NORMAL) {
    UChar text[ONIG_MAX_ERROR_MESSAGE_LEN];
    onig_error_code_to_str(text, code, &info);
    state_->regex = nullptr;
    user_error("{}: \"{}\" is not a regular expression: {}", where, state_->pattern,
               reinterpret_cast<const char*>(text));
  }
}

WholeMatch::~WholeMatch() = default;
WholeMatch::WholeMatch(WholeMatch&&) noexcept = default;

bool WholeMatch::operator()(const std::string& text) const {
  const auto* begin = reinterpret_cast<const UChar*>(text.data());
  const auto* end = begin + text.size();
  std::unique_ptr<OnigMatchParam, void (*)(OnigMatchParam*)> limits(onig_new_match_param(),
                                                                    onig_free_match_param);
  onig_initialize_match_param(limits.get());
  onig_set_retry_limit_in_match_of_match_param(limits.get(), 1'000'000);
  const int result =
      onig_match_with_param(state_->regex, begin, end, begin, nullptr, ONIG_OPTION_NONE, limits.get());
  if (result < ONIG_MISMATCH) {
    user_error("{}: the regular expression \"{}\" takes too many steps on \"{}\"", state_->where,
               state_->pattern, text);
  }
  return result >= 0;
}

bool path_ends_with(const std::string& path, const std::string& name) {
  return path == name ||
         (path.size() > name.size() && path.ends_with(name) && path[path.size() - name.size() - 1] == '.');
}

namespace {

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

std::string known(const std::vector<std::string>& modules) {
  std::set<std::string> seen;
  std::string out;
  for (const std::string& path : modules) {
    if (seen.insert(last_part(path)).second) out += (out.empty() ? "" : ", ") + last_part(path);
  }
  return fmt::format("{} (as in {})", out, modules.empty() ? "nothing" : modules.front());
}

}  // namespace

std::vector<std::string> select_modules(const std::vector<std::string>& modules, const Json& targets,
                                        const std::string& where) {
  if (targets.is_string()) {
    const std::string text = targets.get<std::string>();
    if (text == "all-linear") return modules;
    const WholeMatch matches(text, where);
    std::vector<std::string> out;
    for (const std::string& path : modules) {
      if (matches(path)) out.push_back(path);
    }
    if (out.empty()) {
      user_error(
          "{}: the regular expression \"{}\" matches no whole module path; there are {}; an array of names "
          "matches ends of paths",
          where, text.substr(0, 200), known(modules));
    }
    return out;
  }
  const bool strings =
      targets.is_array() && !targets.empty() &&
      std::all_of(targets.begin(), targets.end(), [](const Json& t) { return t.is_string(); });
  if (!strings)
    user_error("{}: expected \"all-linear\", a regular expression or an array of module names, found {}",
               where, dump_line(targets).substr(0, 60));
  std::vector<bool> chosen(modules.size(), false);
  for (const Json& target : targets) {
    const std::string name = target.get<std::string>();
    bool found = false;
    for (size_t i = 0; i < modules.size(); ++i) {
      if (!path_ends_with(modules[i], name)) continue;
      chosen[i] = found = true;
    }
    if (!found)
      user_error("{}: no linear is called \"{}\"; there are {}", where, name.substr(0, 200), known(modules));
  }
  std::vector<std::string> out;
  for (size_t i = 0; i < modules.size(); ++i) {
    if (chosen[i]) out.push_back(modules[i]);
  }
  return out;
}

double pattern_value(const Json& patterns, const std::string& path, double fallback,
                     const std::string& where) {
  if (patterns.is_null()) return fallback;
  if (!patterns.is_object())
    user_error("{}: expected an object of numbers by pattern, found {}", where,
               dump_line(patterns).substr(0, 60));
  for (const auto& [pattern, value] : patterns.items()) {
    if (!WholeMatch("(?:.*\\.)?(?:" + pattern + ")", where)(path)) continue;
    if (!value.is_number() || !(value.get<double>() > 0 && value.get<double>() < 1e6)) {
      user_error("{}: \"{}\": expected a positive number, found {}", where, pattern.substr(0, 200),
                 dump_line(value).substr(0, 60));
    }
    return value.get<double>();
  }
  return fallback;
}

std::vector<std::string> short_names(const std::vector<std::string>& modules,
                                     const std::vector<std::string>& chosen) {
  const std::set<std::string> wanted(chosen.begin(), chosen.end());
  std::set<std::string> partial;
  for (const std::string& path : modules) {
    if (!wanted.count(path)) partial.insert(last_part(path));
  }
  std::vector<std::string> out;
  for (const std::string& path : chosen) {
    const std::string name = partial.count(last_part(path)) ? path : last_part(path);
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  return out;
}

}  // namespace temper

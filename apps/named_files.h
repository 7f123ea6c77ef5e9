// Files that a command line names: NAME=FILE, or FILE alone, which is named by its stem.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace temper {

struct NamedFile {
  std::string argument, name, path;
};

// Throws UserError for an empty name and one that is there twice; option: "--loss".
inline std::vector<NamedFile> named_files(const std::string& option,
                                          const std::vector<std::string>& arguments) {
  std::vector<NamedFile> out;
  std::set<std::string> names;
  for (const std::string& argument : arguments) {
    const size_t equals = fs::exists(argument) ? std::string::npos : argument.find('=');
    const std::string path = equals == std::string::npos ? argument : argument.substr(equals + 1);
    const std::string name =
        equals == std::string::npos ? fs::path(path).stem().string() : argument.substr(0, equals);
    if (name.empty()) user_error("{} {}: expected a name before the \"=\"", option, argument);
    if (!names.insert(name).second)
      user_error("{0} {1}: a file is named \"{2}\" already; name them: {0} NAME=FILE", option, argument,
                 name);
    out.push_back({argument, name, path});
  }
  return out;
}

}  // namespace temper

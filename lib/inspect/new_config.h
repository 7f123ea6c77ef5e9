// A first config for somebody's own data and model.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace temper {

struct NewConfig {
  std::string task;                // one that has a first_config()
  std::vector<std::string> files;  // of data
  std::string model;               // a folder
  std::string run;                 // the run's folder
};

// The text of a config, with a comment at each choice: the lengths are the data's, an adapter stands in the
// place of full training where that would not fit into this machine's memory. It is a config that loads.
// written: how a path is written into it. Throws UserError for data that the task cannot learn from, and what
// temper-train --plan throws.
std::string new_config(const NewConfig& wanted,
                       const std::function<std::string(const std::string&)>& written);

}  // namespace temper

// State of parameters that are frozen for a while: forgotten, kept in memory, or kept in files.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "adapter/adapter.h"

namespace temper {

class ParkedState {
 public:
  // policy: "drop", "keep" or "offload".
  explicit ParkedState(const std::string& policy) : policy_(policy) {}
  ~ParkedState();  // removes the files
  ParkedState(const ParkedState&) = delete;
  ParkedState& operator=(const ParkedState&) = delete;

  void set_folder(const std::string& folder) { folder_ = folder; }  // of the files; before the first put
  bool drops() const { return policy_ == "drop"; }
  void put(const std::string& name, const StateTensors& state);
  // Hands a parameter's state back; empty when there is none.
  StateTensors take(const std::string& name);
  // Of all parameters, by "parameter/slot". Tensors of files are mapped, not read.
  StateTensors all() const;
  // Replaces everything by what all() gave.
  void load(const StateTensors& all);

 private:
  std::string file(const std::string& name) const { return folder_ + "/" + name + ".safetensors"; }
  void remove_files();
  std::string policy_, folder_;
  std::set<std::string> names_;               // of what is parked
  std::map<std::string, StateTensors> kept_;  // in memory
};

}  // namespace temper

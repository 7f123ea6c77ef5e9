#include "optim/state.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace temper {
namespace {

std::string shape_of(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes().vec(), ", "));
}

}  // namespace

SlotOptimizer::SlotOptimizer(std::vector<OptimParameter> parameters, std::vector<std::string> slots)
    : names_(std::move(slots)) {
  for (OptimParameter& parameter : parameters) entries_.push_back({std::move(parameter), 0, {}});
}

std::vector<SlotOptimizer::Entry*> SlotOptimizer::begin_step() {
  std::vector<Entry*> active;
  for (Entry& entry : entries_) {
    if (!entry.parameter.value.grad().defined()) continue;
    if (entry.step++ == 0) {
      for (size_t i = 0; i < names_.size(); ++i) entry.slots.push_back(at::zeros_like(entry.parameter.value));
    }
    active.push_back(&entry);
  }
  return active;
}

std::map<std::string, at::Tensor> SlotOptimizer::state() {
  std::map<std::string, at::Tensor> out;
  for (const Entry& entry : entries_) {
    if (entry.step == 0) continue;
    for (size_t i = 0; i < names_.size(); ++i) out[entry.parameter.name + "/" + names_[i]] = entry.slots[i];
    out[entry.parameter.name + "/step"] = at::scalar_tensor(entry.step, at::kLong);
  }
  return out;
}

void SlotOptimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  std::vector<Entry> loaded = entries_;
  size_t used = 0;
  for (Entry& entry : loaded) {
    const std::string& name = entry.parameter.name;
    const at::Tensor& value = entry.parameter.value;
    entry.step = 0;
    entry.slots.clear();
    size_t found = 0;
    for (const std::string& slot : names_) {
      const auto it = state.find(name + "/" + slot);
      if (it == state.end()) continue;
      if (it->second.sizes() != value.sizes()) {
        user_error("optimizer state: {}: shape {} expected, {} found", it->first, shape_of(value),
                   shape_of(it->second));
      }
      entry.slots.push_back(it->second.to(value.options(), /*non_blocking=*/false, /*copy=*/true).detach());
      ++found;
    }
    const auto step = state.find(name + "/step");
    if (step != state.end()) {
      if (step->second.numel() != 1 || step->second.scalar_type() != at::kLong ||
          step->second.item<int64_t>() < 1) {
        user_error("optimizer state: {}/step: one positive int64 expected", name);
      }
      entry.step = step->second.item<int64_t>();
      ++found;
    }
    if (found != 0 && found != names_.size() + 1) {
      user_error("optimizer state: {}: {} and step expected, {} of them found", name, fmt::join(names_, ", "),
                 found);
    }
    used += found;
  }
  if (used != state.size()) {
    for (const auto& [key, tensor] : state) {
      const auto owns = [&](const Entry& entry) {
        if (key == entry.parameter.name + "/step") return true;
        for (const std::string& slot : names_) {
          if (key == entry.parameter.name + "/" + slot) return true;
        }
        return false;
      };
      if (std::none_of(loaded.begin(), loaded.end(), owns)) {
        user_error(
            "optimizer state: {} belongs to no parameter of this run; was the optimizer or the set of "
            "trained parameters changed?",
            key);
      }
    }
  }
  entries_ = std::move(loaded);
}

std::map<std::string, at::Tensor> SlotOptimizer::forget(const std::string& name) {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& entry) { return entry.parameter.name == name; });
  if (it == entries_.end()) bug("the optimizer has no parameter {} to forget", name);
  std::map<std::string, at::Tensor> out;
  for (auto& [key, tensor] : state()) {
    if (key.starts_with(name + "/")) out[key.substr(name.size() + 1)] = tensor;
  }
  entries_.erase(it);
  return out;
}

void SlotOptimizer::add(OptimParameter parameter, const std::map<std::string, at::Tensor>& state) {
  for (const Entry& entry : entries_) {
    if (entry.parameter.name == parameter.name) bug("the optimizer has {} already", parameter.name);
  }
  std::map<std::string, at::Tensor> named;
  for (const auto& [slot, tensor] : state) named[parameter.name + "/" + slot] = tensor;
  // load_state with this parameter alone, for its checks.
  std::vector<Entry> others = {Entry{std::move(parameter), 0, {}}};
  entries_.swap(others);
  try {
    load_state(named);
  } catch (...) {
    entries_.swap(others);
    throw;
  }
  others.push_back(std::move(entries_.front()));
  entries_.swap(others);
}

void SlotOptimizer::set_lr_factor(const std::string& name, double factor) {
  for (Entry& entry : entries_) {
    if (entry.parameter.name == name) entry.parameter.lr_factor = factor;
  }
}

int64_t SlotOptimizer::state_bytes() const {
  int64_t bytes = 0;
  for (const Entry& entry : entries_) {
    bytes += static_cast<int64_t>(names_.size()) * static_cast<int64_t>(entry.parameter.value.nbytes()) + 8;
  }
  return bytes;
}

}  // namespace temper

#include "optim/state.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace temper {
namespace {

std::string shape_of(at::IntArrayRef sizes) {
  return fmt::format("[{}]", fmt::join(sizes.vec(), ", "));
}

}  // namespace

Slot slot_like(const OptimParameter& parameter, std::string name, bool momentum) {
  return {std::move(name), parameter.value.sizes().vec(), parameter.value.scalar_type(), momentum};
}

SlotOptimizer::SlotOptimizer(std::vector<OptimParameter> parameters, const OptimizerOptions& options)
    : lookahead_(options.lookahead), weight_decay_(options.weight_decay) {
  for (OptimParameter& parameter : parameters) entries_.push_back({std::move(parameter), 0, {}});
}

std::vector<Slot> SlotOptimizer::all_slots(const OptimParameter& parameter) const {
  std::vector<Slot> out = slots(parameter);
  if (lookahead_.k == 0) return out;
  const size_t own = out.size();
  out.push_back(slot_like(parameter, "slow"));
  for (size_t i = 0; i < own && lookahead_.momentum == "pull_back"; ++i) {
    if (out[i].momentum) out.push_back({"slow_" + out[i].name, out[i].sizes, out[i].type});
  }
  return out;
}

void SlotOptimizer::make_slots(Entry& entry) const {
  const at::Tensor& value = entry.parameter.value;
  for (const Slot& slot : all_slots(entry.parameter)) {
    entry.slots.push_back(at::zeros(slot.sizes, value.options().dtype(slot.type)));
    if (slot.name == "slow") entry.slots.back().copy_(value);
  }
}

void SlotOptimizer::step(double lr) {
  const at::NoGradGuard no_grad;
  std::vector<Entry*> moved, listed;
  for (Entry& entry : entries_) {
    const at::Tensor& value = entry.parameter.value;
    if (!value.grad().defined()) continue;
    if (entry.step++ == 0) make_slots(entry);
    moved.push_back(&entry);
    if (!value.is_cpu() && in_lists(entry.parameter))
      listed.push_back(&entry);
    else
      update(entry, lr * entry.parameter.lr_factor);
  }
  for (Lists& lists : lists_of(listed, lr)) update_lists(lists);
  for (Entry* entry : moved) {
    if (lookahead_.k > 0 && entry->step % lookahead_.k == 0) look_ahead(*entry);
  }
}

std::vector<SlotOptimizer::Lists> SlotOptimizer::lists_of(const std::vector<Entry*>& entries,
                                                          double lr) const {
  constexpr int64_t kMostNumbers = 1 << 26;  // bounds the temporaries of an update
  std::vector<Lists> all;
  for (const Entry* entry : entries) {
    const at::Tensor& value = entry->parameter.value;
    const double own_lr = lr * entry->parameter.lr_factor, weight_decay = decay(entry->parameter);
    auto lists = std::find_if(all.begin(), all.end(), [&](const Lists& some) {
      return some.lr == own_lr && some.weight_decay == weight_decay && some.step == entry->step &&
             some.values[0].device() == value.device() &&
             some.values[0].scalar_type() == value.scalar_type() &&
             some.numbers + value.numel() <= kMostNumbers;
    });
    if (lists == all.end()) {
      all.push_back({own_lr, weight_decay, entry->step, {}, {}, {}});
      lists = all.end() - 1;
      lists->slots.resize(entry->slots.size());
    }
    lists->values.push_back(value);
    lists->gradients.push_back(value.grad().to(value.scalar_type()).contiguous());
    for (size_t i = 0; i < entry->slots.size(); ++i) lists->slots[i].push_back(entry->slots[i]);
    lists->numbers += value.numel();
  }
  return all;
}

void SlotOptimizer::look_ahead(Entry& entry) const {
  const auto pull_back = [&](at::Tensor& slow, at::Tensor& fast) {
    slow.lerp_(fast, lookahead_.alpha);
    fast.copy_(slow);
  };
  const std::vector<Slot> own = slots(entry.parameter);
  size_t slow = own.size();
  pull_back(entry.slots[slow++], entry.parameter.value);
  for (size_t i = 0; i < own.size(); ++i) {
    if (!own[i].momentum) continue;
    if (lookahead_.momentum == "reset") entry.slots[i].zero_();
    if (lookahead_.momentum == "pull_back") pull_back(entry.slots[slow++], entry.slots[i]);
  }
}

std::map<std::string, at::Tensor> SlotOptimizer::state() {
  std::map<std::string, at::Tensor> out;
  for (const Entry& entry : entries_) {
    if (entry.step == 0) continue;
    const std::vector<Slot> slots = all_slots(entry.parameter);
    for (size_t i = 0; i < slots.size(); ++i) {
      out[entry.parameter.name + "/" + slots[i].name] = entry.slots[i];
    }
    out[entry.parameter.name + "/step"] = at::scalar_tensor(entry.step, at::kLong);
  }
  return out;
}

SlotOptimizer::Entry SlotOptimizer::loaded_entry(const OptimParameter& parameter,
                                                 const std::map<std::string, at::Tensor>& state,
                                                 size_t& found) const {
  Entry entry{parameter, 0, {}};
  found = 0;
  const std::string& name = parameter.name;
  const std::vector<Slot> slots = all_slots(parameter);
  for (const Slot& slot : slots) {
    const auto it = state.find(name + "/" + slot.name);
    if (it == state.end()) continue;
    if (it->second.sizes() != slot.sizes) {
      user_error("optimizer state: {}: shape {} expected, {} found", it->first, shape_of(slot.sizes),
                 shape_of(it->second.sizes()));
    }
    if (it->second.scalar_type() != slot.type) {
      user_error("optimizer state: {}: type {} expected, {} found", it->first, c10::toString(slot.type),
                 c10::toString(it->second.scalar_type()));
    }
    entry.slots.push_back(
        it->second.to(parameter.value.device(), slot.type, /*non_blocking=*/false, /*copy=*/true).detach());
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
  if (found != 0 && found != slots.size() + 1) {
    std::vector<std::string> names;
    for (const Slot& slot : slots) names.push_back(slot.name);
    user_error("optimizer state: {}: {} and step expected, {} of them found", name, fmt::join(names, ", "),
               found);
  }
  return entry;
}

void SlotOptimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  std::vector<Entry> loaded;
  size_t used = 0, found = 0;
  for (const Entry& entry : entries_) {
    loaded.push_back(loaded_entry(entry.parameter, state, found));
    used += found;
  }
  if (used != state.size()) {
    for (const auto& [key, tensor] : state) {
      const auto owns = [&](const Entry& entry) {
        const std::string& name = entry.parameter.name;
        if (key == name + "/step") return true;
        const std::vector<Slot> slots = all_slots(entry.parameter);
        return std::any_of(slots.begin(), slots.end(),
                           [&](const Slot& slot) { return key == name + "/" + slot.name; });
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
    bytes += 8;  // the step
    for (const Slot& slot : all_slots(entry.parameter)) {
      bytes += c10::multiply_integers(slot.sizes) * static_cast<int64_t>(c10::elementSize(slot.type));
    }
  }
  return bytes;
}

}  // namespace temper

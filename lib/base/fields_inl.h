// Templates of fields.h.
#pragma once

#include "base/error.h"
#include "base/fields.h"

namespace temper {

template <class Base>
Registry<Base>& Registry<Base>::add(Entry entry) {
  if (find(entry.name) != nullptr) bug("{} \"{}\" is registered twice", kind_, entry.name);
  entries_.push_back(std::move(entry));
  return *this;
}

template <class Base>
const typename Registry<Base>::Entry* Registry<Base>::find(const std::string& name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

template <class Base>
std::vector<std::string> Registry<Base>::names() const {
  std::vector<std::string> out;
  for (const Entry& entry : entries_) out.push_back(entry.name);
  return out;
}

template <class Base>
void FieldVisitor::choice(const char* name, const char* tag, std::unique_ptr<Base>& value,
                          std::string& value_name, const Registry<Base>& registry, const std::string& help) {
  if (!enter_choice(name, tag, help)) return;
  choice_here(tag, value, value_name, registry);
  leave();
}

template <class Base>
void FieldVisitor::choice_here(const char* tag, std::unique_ptr<Base>& value, std::string& value_name,
                               const Registry<Base>& registry) {
  const std::string picked = pick(tag, value_name, registry.names());
  const auto* entry = registry.find(picked);
  if (entry == nullptr) {
    value.reset();
    value_name.clear();
    return;
  }
  if (!value || value_name != picked) value = entry->make();
  value_name = picked;
  value->fields(*this);
  after_fields(*value);
}

template <class T>
void FieldVisitor::list(const char* name, std::vector<T>& values, const std::string& help) {
  size_t count = values.size();
  if (!enter_list(name, help, values.size(), count)) return;
  if (replaces_lists()) values.clear();
  values.resize(count);
  for (size_t i = 0; i < count; ++i) {
    enter_item(i);
    values[i].fields(*this);
    after_fields(values[i]);
    leave_item();
  }
  leave_list();
}

}  // namespace temper

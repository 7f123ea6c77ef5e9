#include "data/large/record_set.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace temper {

Records::Records(std::vector<std::shared_ptr<const RecordSource>> sources) : sources_(std::move(sources)) {
  size_t count = 0;
  for (const auto& source : sources_) {
    first_.push_back(count);
    count += source->size();
  }
  if (count > UINT32_MAX)
    user_error("{}: {} records, at most {}", sources_.front()->file(), count, UINT32_MAX);
  chosen_.resize(count);
  std::iota(chosen_.begin(), chosen_.end(), 0U);
}

Records::Place Records::place(size_t i) const {
  const size_t number = chosen_.at(i);
  const auto source =
      static_cast<size_t>(std::upper_bound(first_.begin(), first_.end(), number) - first_.begin() - 1);
  return {source, number - first_[source]};
}

Record Records::of_source(size_t source, size_t record) const {
  Record out = sources_[source]->at(record);
  for (const Change& change : changes_) change.how(out);
  return out;
}

Record Records::operator[](size_t i) const {
  if (!large()) return held_.at(i);
  const Place at = place(i);
  return of_source(at.source, at.record);
}

const Record& Records::kept(size_t i) const {
  if (!large()) return held_.at(i);
  const std::lock_guard lock(kept_->mutex);
  const auto it = kept_->records.find(i);
  return it != kept_->records.end() ? it->second : kept_->records.emplace(i, (*this)[i]).first->second;
}

void Records::forget() const {
  const std::lock_guard lock(kept_->mutex);
  kept_->records.clear();
}

const std::string& Records::file(size_t i) const {
  return large() ? sources_[place(i).source]->file() : held_.at(i).file;
}

void Records::check() const {
  for (const auto& source : sources_) source->check();
}

std::string Records::key(size_t source) const {
  Fingerprint out;
  out.add(sources_[source]->key());
  for (const Change& change : changes_) out.add(change.key);
  return out.hex();
}

void Records::change(const std::function<void(Record&)>& how, const std::string& key) {
  for (Record& record : held_) how(record);
  if (large()) changes_.push_back({how, key});
}

void Records::resize(size_t count) {
  if (count >= size()) return;
  if (large())
    chosen_.resize(count);
  else
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(count), held_.end());
  forget();
}

void Records::erase_if(const std::function<bool(const Record&)>& out) {
  if (!large()) {
    std::erase_if(held_, out);
    return;
  }
  std::vector<bool> taken;
  taken.reserve(size());
  for (const Record& record : *this) taken.push_back(out(record));
  take(taken);
}

Records Records::take(const std::vector<bool>& chosen) {
  Records out;
  out.sources_ = sources_;
  out.first_ = first_;
  out.changes_ = changes_;
  const auto divide = [&](auto& ours, auto& theirs) {
    auto all = std::exchange(ours, {});
    for (size_t i = 0; i < all.size(); ++i) (chosen.at(i) ? theirs : ours).push_back(std::move(all[i]));
  };
  divide(held_, out.held_);
  divide(chosen_, out.chosen_);
  forget();
  return out;
}

std::vector<Record> Records::all(const std::string& why) const {
  if (!large()) return held_;
  log_info("{}: all {} records are read into memory, which {} needs", sources_.front()->file(), size(), why);
  std::vector<Record> out;
  out.reserve(size());
  for (Record record : *this) out.push_back(std::move(record));
  return out;
}

std::vector<Record>& Records::held(const std::string& why) {
  if (large()) *this = Records(all(why));
  return held_;
}

std::vector<int64_t> every_index(size_t count) {
  std::vector<int64_t> out(count);
  std::iota(out.begin(), out.end(), 0);
  return out;
}

}  // namespace temper

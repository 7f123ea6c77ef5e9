// The records of a run, in memory or, where there are many, in their files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/large/record_source.h"
#include "data/records.h"

namespace temper {

class Records {
 public:
  Records() = default;
  Records(std::vector<Record> records) : held_(std::move(records)) {}  // NOLINT: they are the same
  explicit Records(std::vector<std::shared_ptr<const RecordSource>> sources);

  size_t size() const { return large() ? chosen_.size() : held_.size(); }
  bool empty() const { return size() == 0; }
  // By value: of large ones it is parsed now. From any thread.
  Record operator[](size_t i) const;
  Record front() const { return (*this)[0]; }
  // The same record, kept in memory until forget(), for what points to it.
  const Record& kept(size_t i) const;
  void forget() const;
  const std::string& file(size_t i) const;  // of its file, without parsing it
  // Throws UserError when a file of large ones is no longer as it was opened.
  void check() const;

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Record;
    using difference_type = std::ptrdiff_t;
    using pointer = const Record*;
    using reference = Record;
    Iterator(const Records& of, size_t at) : of_(&of), at_(at) {}
    Record operator*() const { return (*of_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    const Records* of_;
    size_t at_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

  // Changes each record: in memory now, of large ones when they are parsed; a pure function of a record. key:
  // what tells it from other changes.
  void change(const std::function<void(Record&)>& how, const std::string& key);
  void resize(size_t count);
  // Leaves out those that `out` says, which sees each once, in order.
  void erase_if(const std::function<bool(const Record&)>& out);
  // Takes these out, and gives them, both in order.
  Records take(const std::vector<bool>& chosen);

  // All of them in memory, for what reads them more than once or changes them. `why` tells people of large
  // ones.
  std::vector<Record> all(const std::string& why) const;
  std::vector<Record>& held(const std::string& why);

  // Of large ones: whose records these are, and where record i is: its source, and its number there.
  bool large() const { return !sources_.empty(); }
  struct Place {
    size_t source = 0, record = 0;
  };
  Place place(size_t i) const;
  const std::vector<std::shared_ptr<const RecordSource>>& sources() const { return sources_; }
  // Record of a source as change() left it.
  Record of_source(size_t source, size_t record) const;
  // A fingerprint of a source's content, how it is read and what change() does.
  std::string key(size_t source) const;

 private:
  struct Change {
    std::function<void(Record&)> how;
    std::string key;
  };
  struct Kept {
    std::mutex mutex;
    std::map<size_t, Record> records;
  };
  std::vector<Record> held_;
  std::vector<std::shared_ptr<const RecordSource>> sources_;
  std::vector<size_t> first_;     // of each source, the number of its first record among all
  std::vector<uint32_t> chosen_;  // which of all
  std::vector<Change> changes_;
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

// The indices 0 .. count - 1.
std::vector<int64_t> every_index(size_t count);

}  // namespace temper

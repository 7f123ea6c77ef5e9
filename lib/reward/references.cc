#include "reward/references.h"

#include "base/error.h"

namespace temper {
namespace {

template <class Range>
std::vector<std::string> check_all(const RewardSet& rewards, const Range& records, const std::string& what) {
  struct Unreadable {
    size_t count = 0;
    std::string first;
  };
  std::vector<Unreadable> of(rewards.names().size());
  size_t untold = 0;  // records that no reward that counts can score
  for (const Record& record : records) {
    std::vector<std::optional<std::string>> reasons;
    try {
      reasons = rewards.check(record.json);
    } catch (const UserError& error) {
      user_error("{}: {}", record.where(), error.what());
    }
    bool told = false;
    for (size_t r = 0; r < reasons.size(); ++r) {
      if (reasons[r] && of[r].count++ == 0) of[r].first = record.where() + ": " + *reasons[r];
      told = told || (!reasons[r] && rewards.weights()[r] != 0);
    }
    untold += told ? 0 : 1;
  }
  std::vector<std::string> out;
  for (size_t r = 0; r < of.size(); ++r) {
    const std::string& name = rewards.names()[r];
    if (of[r].count == 0) continue;
    const bool none = of[r].count == records.size() && rewards.weights()[r] != 0;
    if (none && (!rewards.takes_first() || untold == records.size())) {
      user_error("{}: reward {} can score none of the {} records, every reward would be null; {}", what, name,
                 records.size(), of[r].first);
    }
    out.push_back(fmt::format("{}: reward {} cannot score {} of {} records, their rewards are null; {}", what,
                              name, of[r].count, records.size(), of[r].first));
  }
  return out;
}

}  // namespace

std::vector<std::string> check_references(const RewardSet& rewards, const std::vector<Record>& records,
                                          const std::string& what) {
  return check_all(rewards, records, what);
}

std::vector<std::string> check_references(const RewardSet& rewards, const Records& records,
                                          const std::string& what) {
  return check_all(rewards, records, what);
}

}  // namespace temper

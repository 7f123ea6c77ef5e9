// What the rewards can read of the records, found before the long part.
#pragma once

#include <string>
#include <vector>

#include "data/large/record_set.h"
#include "data/records.h"
#include "reward/reward.h"

namespace temper {

// Every reward's check() of every record; `what` names the records ("data.train"). Throws UserError, with the
// record's place, where a column is missing, and where a reward that counts could score no record at all (of
// those of which the first that can tell is taken: where no reward could score any).
// Returns a line for each reward that some records cannot be scored by.
std::vector<std::string> check_references(const RewardSet& rewards, const std::vector<Record>& records,
                                          const std::string& what);
std::vector<std::string> check_references(const RewardSet& rewards, const Records& records,
                                          const std::string& what);

}  // namespace temper

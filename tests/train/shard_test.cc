#include "train/shard.h"

#include <algorithm>
#include <numeric>

#include "test.h"

using namespace temper;

namespace {

using Sizes = std::vector<std::pair<std::string, int64_t>>;

std::vector<int64_t> loads(const Sizes& sizes, const std::vector<int64_t>& owners, int64_t ranks) {
  std::vector<int64_t> out(static_cast<size_t>(ranks), 0);
  for (size_t i = 0; i < sizes.size(); ++i) out.at(static_cast<size_t>(owners[i])) += sizes[i].second;
  return out;
}

}  // namespace

TEST_CASE("owners: the largest first, each to the rank that has least") {
  CHECK(assign_owners({{"a", 1}, {"b", 8}, {"c", 4}, {"d", 3}, {"e", 2}}, 2) ==
        std::vector<int64_t>{0, 0, 1, 1, 1});
  // Equal ones by name, equal ranks from below.
  CHECK(assign_owners({{"b", 5}, {"a", 5}, {"c", 5}}, 3) == std::vector<int64_t>{1, 0, 2});
  CHECK(assign_owners({{"a", 5}, {"b", 7}}, 1) == std::vector<int64_t>{0, 0});
  CHECK(assign_owners({}, 4).empty());
  // More ranks than parameters: some own nothing.
  CHECK(assign_owners({{"a", 1}, {"b", 2}}, 4) == std::vector<int64_t>{1, 0});
}

TEST_CASE("owners: the same in any order of the list, and of nearly equal loads") {
  Sizes sizes;
  for (int64_t i = 0; i < 40; ++i) sizes.emplace_back("p" + std::to_string(i), 1 + (i * i * 37) % 97);
  const int64_t whole = std::accumulate(sizes.begin(), sizes.end(), int64_t{0},
                                        [](int64_t sum, const auto& s) { return sum + s.second; });
  for (const int64_t ranks : {2, 3, 7}) {
    const auto owners = assign_owners(sizes, ranks);
    Sizes turned(sizes.rbegin(), sizes.rend());
    auto back = assign_owners(turned, ranks);
    std::reverse(back.begin(), back.end());
    CHECK(owners == back);
    const auto all = loads(sizes, owners, ranks);
    CHECK(*std::max_element(all.begin(), all.end()) <= whole / ranks + 97);
  }
}

// Scores are rank_bm25's (scripts/oracles/bm25.py).
#include "env/tools/bm25.h"

#include "base/json.h"
#include "test.h"

using namespace temper;

TEST_CASE("bm25: scores and order are rank_bm25's") {
  const Json file = read_json_file(test_file("env/golden/bm25.json"));
  size_t scored = 0;
  for (const Json& set : file) {
    const auto documents = set["documents"].get<std::vector<std::vector<std::string>>>();
    const Bm25 index(documents, set["k1"].get<double>(), set["b"].get<double>());
    for (const Json& query : set["queries"]) {
      const auto words = query["words"].get<std::vector<std::string>>();
      const auto want = query["found"].get<std::vector<std::pair<size_t, double>>>();
      const auto found = index.search(words, documents.size());
      REQUIRE(found.size() == want.size());
      for (size_t i = 0; i < found.size(); ++i) {
        CHECK(found[i].first == want[i].first);
        CHECK(found[i].second == doctest::Approx(want[i].second).epsilon(1e-12));
        ++scored;
      }
      const auto two = index.search(words, 2);
      CHECK(two.size() == std::min<size_t>(2, want.size()));
    }
  }
  CHECK(scored > 100);
}

TEST_CASE("search_words: letters and digits in small letters") {
  CHECK(search_words("The 3rd É-mail, don't! ΌΣΟΣ 东京") ==
        std::vector<std::string>{"the", "3rd", "é", "mail", "don", "t", "όσος", "东京"});
  CHECK(search_words("").empty());
  CHECK(search_words(" .,\n").empty());
}

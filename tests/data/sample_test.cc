// The data that the configs use (scripts/data/arithmetic.py).
#include <set>

#include "base/error.h"
#include "data/records.h"
#include "test.h"

using namespace temper;

namespace {

const std::string kData = TEMPER_SOURCE_DIR "/data/";

void check_split(const std::string& folder) {
  const auto train = read_records({kData + folder + "/train.jsonl"});
  const auto test = read_records({kData + folder + "/test.jsonl"});
  CHECK(train.size() >= 1000);
  CHECK(test.size() >= 100);
  std::set<std::string> asked;
  for (const auto& records : {train, test}) {
    for (const Record& record : records) {
      CAPTURE(record.where());
      CHECK(record_kind(record) == RecordKind::kPromptCompletion);
      std::string question = record.json["prompt"];
      if (folder == "sums") question = question.substr(question.rfind('\n') + 1);
      CHECK(asked.insert(question).second);  // no question twice, none in both splits
      const std::string completion = record.json["completion"], answer = record.json["answer"];
      CHECK(completion.ends_with(" " + answer));
    }
  }
}

}  // namespace

TEST_CASE("sample data: stories, split without shared questions") {
  check_split("arithmetic");
}
TEST_CASE("sample data: sums, split without shared questions") {
  check_split("sums");
}

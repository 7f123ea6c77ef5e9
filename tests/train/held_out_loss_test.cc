#include "train/held_out_loss.h"

#include "base/json.h"
#include "model/model.h"
#include "test.h"

using namespace temper;

// The golden is scripts/oracles/eval_loss.py's.
TEST_CASE("held-out loss: that of transformers with labels, record by record, in passes of any size") {
  const Json golden = read_json_file(test_file("train/golden/losses.json"));
  const auto model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
  std::vector<Example> examples;
  for (const Json& row : golden["examples"])
    examples.push_back({row["ids"].get<std::vector<int64_t>>(), row["target"].get<std::vector<bool>>()});
  for (const int64_t pass_tokens : {1, 50, 4096}) {
    CAPTURE(pass_tokens);
    std::vector<RecordLoss> records;
    for (const MicroBatch& batch : whole_batches(examples, pass_tokens, at::kCPU))
      for (const RecordLoss& record : record_losses(*model, batch)) records.push_back(record);
    REQUIRE(records.size() == examples.size());
    for (size_t i = 0; i < records.size(); ++i) {
      CAPTURE(i);
      const Json& row = golden["examples"][i];
      CHECK(records[i].tokens == row["tokens"].get<int64_t>());
      CHECK(has_target(examples[i]) == (records[i].tokens > 0));
      if (records[i].tokens == 0) continue;
      CHECK(records[i].nll / static_cast<double>(records[i].tokens) ==
            doctest::Approx(row["loss"].get<double>()).epsilon(2e-6));
    }
    CHECK(loss_figure(records).loss == doctest::Approx(golden["loss"].get<double>()).epsilon(2e-6));
  }
}

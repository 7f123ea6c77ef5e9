// The reward `embedding` on a model that a run wrote.
#include "reward/text/embedding.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "base/json.h"
#include "model/model.h"
#include "runs.h"
#include "test.h"
#include "text/tokenizer.h"

using namespace temper;

TEST_CASE("embedding: cosines of mean hidden states, each text computed alone") {
  const at::NoGradGuard no_grad;
  Runs runs;
  runs(tiny_sft("train.jsonl", 2), "start");
  const std::string folder = (runs.folder() / "start/final").string();
  const auto tokenizer = Tokenizer::load(folder);
  const auto model = Model::load(folder, make_precision("f32", "cpu"));
  const auto embedded = [&](const std::string& text) {
    Packer packer;
    packer.add_segment(tokenizer->encode(text));
    return model->hidden(packer.tokens_on(at::kCPU)).to(at::kDouble).mean(0);
  };
  const auto cosine = [&](const std::string& a, const std::string& b) {
    return at::cosine_similarity(embedded(a), embedded(b), 0).item<double>();
  };

  EmbeddingOptions options;
  options.path = folder;
  options.dtype = "f32";
  const std::vector<std::string> texts = {"There are 5 apples.", "It is far to the north.",
                                          "5 + 3 = 8\n#### 8", "x"};
  for (const int64_t tokens : {1, 40, 8192}) {
    options.micro_batch_tokens = tokens;
    const auto reward = options.make();
    for (const std::string& text : texts) {
      for (const std::string& reference : texts) {
        CAPTURE(text);
        CAPTURE(reference);
        const Json columns = {{"answer", reference}};
        RewardItem item;
        item.completion = text;
        item.columns = &columns;
        const auto score = reward->score({item}).at(0).value;
        REQUIRE(score);
        CHECK(*score == doctest::Approx(cosine(text, reference)).epsilon(1e-5));
        if (text == reference) CHECK(*score == doctest::Approx(1.0).epsilon(1e-9));
      }
    }
    // Of several references the nearest; a text without tokens is like nothing.
    const Json several = {{"answer", {texts[1], texts[0], texts[2]}}};
    RewardItem item;
    item.columns = &several;
    item.completion = texts[0] + " Two.";
    double best = -1;
    for (size_t i = 0; i < 3; ++i) best = std::max(best, cosine(item.completion, texts[i]));
    const auto scores = reward->score({item, RewardItem{"", "", "", &several}});
    CHECK(scores.at(0).value.value() == doctest::Approx(best).epsilon(1e-5));
    CHECK_FALSE(scores.at(1).value.has_value());
  }
  options.path = "nowhere";
  CHECK_THROWS_WITH_AS(options.make(), doctest::Contains("no such folder: nowhere"), UserError);
}

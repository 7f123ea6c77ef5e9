// The reward "judge" with a model from a folder.
#include "reward/remote/judge.h"

#include <cmath>

#include "base/json.h"
#include "model/model.h"
#include "runs.h"
#include "test.h"

namespace temper {

TEST_CASE("judge: a folder's model says how likely Yes is, where its answer begins") {
  Runs runs;
  runs(tiny_sft("train.jsonl", 2), "small");
  const std::string folder = (runs.folder() / "small/final").string();
  JudgeOptions o;
  o.path = folder;
  o.prompts = {"Is {completion} right?", "{prompt}{completion} so?"};
  o.yes = "y";
  o.no = "n";
  o.chat_prompts = false;
  o.dtype = "f32";
  const auto reward = o.make();
  CHECK_FALSE(reward->each_alone());
  CHECK_FALSE(reward->external());
  const Json columns = {{"prompt", "1+1="}, {"reference", "3"}};
  std::vector<RewardItem> items(3);
  for (RewardItem& item : items) item.columns = &columns;
  items[0].completion = "2";
  items[1].completion = "3 or so";
  items[2].completion = std::string(200, 'x');  // more than the model reads

  // log p(y) - log p(n) behind the question's tokens, by whole forward passes.
  const auto model = Model::load(folder, make_precision("f32", "cpu"));
  const auto tokenizer = Tokenizer::load(folder);
  const auto log_odds = [&](const std::string& question) {
    double out[2];
    for (const int k : {0, 1}) {
      const std::vector<int64_t> ids = tokenizer->encode(question),
                                 word = tokenizer->encode(k == 0 ? "y" : "n");
      REQUIRE(word.size() == 1);
      Packer packer;
      const int64_t prompt = packer.add_segment(ids);
      const int64_t answer = packer.add_segment(word, prompt);
      packer.add_targets(answer, 0, 1, 0);
      out[k] =
          model_logp(*model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp.item<double>();
    }
    return out[0] - out[1];
  };
  const auto share = [](double odds) { return 1 / (1 + std::exp(-odds)); };
  const auto scores = reward->score(items);
  const double a = log_odds("Is 2 right?"), b = log_odds("1+1=2 so?");
  CHECK(a != doctest::Approx(0));
  CHECK(*scores[0].value == doctest::Approx((share(a) + share(b)) / 2).epsilon(1e-5));
  CHECK(*scores[1].value ==
        doctest::Approx((share(log_odds("Is 3 or so right?")) + share(log_odds("1+1=3 or so so?"))) / 2)
            .epsilon(1e-5));
  CHECK_FALSE(scores[2].value.has_value());
  CHECK(reward->counters().at("unscored") == 2);

  o.mode = "pairwise";
  o.value = "log_odds";
  o.first = "y";
  o.second = "n";
  o.prompts = {"{answer_first} or {answer_second}?"};
  CHECK(*o.make()->score({items[0]})[0].value ==
        doctest::Approx((log_odds("2 or 3?") - log_odds("3 or 2?")) / 2).epsilon(1e-5));
}

}  // namespace temper

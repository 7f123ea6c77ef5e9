// A SAMI run's loss beside the same from its saved model and plain records.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "data/pair_forms.h"
#include "model/model.h"
#include "runs.h"

using namespace temper;

namespace {

const char* const kSami = R"({
  "task": "preference", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 300, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2,
                                     "kv_heads": 1, "max_positions": 128}},
  "data": {"train": ["constitutions.jsonl"], "max_tokens": 100},
  "algorithm": {"name": "sami"},
  "optimizer": {"name": "adamw", "lr": 0}, "schedule": {"name": "constant"},
  "train": {"steps": 1, "batch_size": 16}, "checkpoint": {"every": 0}, "run": "sami" })";

}  // namespace

TEST_CASE("sami: the mean is over a response without its end token") {
  Runs runs;
  runs.write("constitutions.jsonl", constitutions());
  const auto rows = runs(kSami, "ends");
  // The same from the saved model and the plain records.
  const at::NoGradGuard no_grad;
  const std::string folder = (runs.folder() / "ends/final").string();
  const auto tokenizer = Tokenizer::load(folder);
  const auto model = Model::load(folder, make_precision("f32", "cpu"));
  const RecordEncoder encoder(*tokenizer, nullptr, {});
  double loss = 0;
  const auto records = read_records({(runs.folder() / "constitutions.jsonl").string()});
  for (const Record& record : records) {
    const PromptedAnswers all = prompted_answers(record);
    at::Tensor m = at::zeros({2, 2}, at::kDouble);
    for (int64_t i = 0; i < 4; ++i) {
      const Answer a = encoder.answer(answer_record(record, all.prompts[static_cast<size_t>(i / 2)],
                                                    all.completions[static_cast<size_t>(i % 2)]));
      REQUIRE(a.completion.back() == *tokenizer->eos());
      std::vector<int64_t> ids = a.prompt;
      ids.insert(ids.end(), a.completion.begin(), a.completion.end());
      Packer packer;
      packer.add_segment(ids);
      const at::Tensor logp = at::log_softmax(model->logits(model->hidden(packer.tokens_on(at::kCPU))), 1);
      for (size_t t = a.prompt.size(); t + 1 < ids.size(); ++t)
        m[i / 2][i % 2] += logp[static_cast<int64_t>(t) - 1][ids[t]].item<double>();
      m[i / 2][i % 2] /= static_cast<double>(a.completion.size() - 1);
    }
    for (const int64_t dim : {0, 1}) loss -= 0.5 * at::log_softmax(m, dim).diagonal().mean().item<double>();
  }
  CHECK(*rows[0].find("loss") == doctest::Approx(loss / static_cast<double>(records.size())).epsilon(1e-5));

  std::string empty = constitutions();
  empty.replace(empty.find("\" 2\""), 4, "\"\"");
  runs.write("constitutions.jsonl", empty);
  CHECK_THROWS_WITH_AS(runs(kSami, "empty"),
                       doctest::Contains("constitutions.jsonl:1: a completion is empty"), UserError);
}

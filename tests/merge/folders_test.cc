// Merges from folders to folders: what is kept of whom, dtypes, reward models, tied heads, and what is
// refused.
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "base/file.h"
#include "cases.h"
#include "merge/recipe.h"
#include "model/model.h"

namespace temper {
namespace {

Json merge_folders(const Json& json, const std::string& to, std::optional<at::ScalarType> dtype = {}) {
  MergeRecipe recipe;
  read_fields(recipe, json, "recipe", ".");
  return merge_models(recipe, to, dtype);
}

std::string merge_refusal(const Json& json, const std::string& to) {
  try {
    merge_folders(json, to);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

// A copy of a golden model's folder whose weights are `factor` times as large.
void scale_model(const std::string& from, double factor, const std::string& to, const Heads& heads = {}) {
  const at::NoGradGuard no_grad;
  const auto model = Model::load(from, Precision{}, heads);
  for (Parameter* p : model->parameters()) p->master.mul_(factor);
  model->save(to, at::kFloat);
}

}  // namespace

TEST_CASE("merging folders: expo goes as far beyond a reward model as asked for, away from the base") {
  const TempFolder folder;
  const std::string from = test_file("model/golden/scores");
  const Heads scores{.causal = false, .scores = 3};
  scale_model(from, 0.5, folder.text("base"), scores);
  const Json report = merge_folders(
      {{"method", "expo"}, {"base", folder.text("base")}, {"alpha", 0.5}, {"models", {{{"path", from}}}}},
      folder.text("beyond"), at::kFloat);
  CHECK(report["change"].get<double>() == doctest::Approx(1.5));
  const auto model = Model::load(from, Precision{}, scores),
             beyond = Model::load(folder.text("beyond"), Precision{}, scores);
  CHECK(beyond->config().score_names == model->config().score_names);
  const auto a = model->parameters(), b = beyond->parameters();
  for (size_t i = 0; i < a.size(); ++i) CHECK(largest_difference(a[i]->master * 1.25, b[i]->master) < 1e-6);
}

TEST_CASE("merging folders: dtype, config and side files are those of the folder that is kept") {
  const TempFolder folder;
  const std::string from = test_file("model/golden/llama3");
  scale_model(from, 2, folder.text("a"));
  scale_model(from, 4, folder.text("b"));
  folder.write("a/notes.txt", "of a");
  folder.write("b/notes.txt", "of b");
  const Json models = {{{"path", folder.text("a")}}, {{"path", folder.text("b")}}};
  merge_folders({{"method", "linear"}, {"models", models}}, folder.text("mean"));
  CHECK(folder.read("mean/notes.txt") == "of a");
  merge_folders({{"method", "linear"}, {"models", models}, {"files", folder.text("b")}}, folder.text("of_b"),
                at::kBFloat16);
  CHECK(folder.read("of_b/notes.txt") == "of b");
  CHECK(read_json_file(folder.text("of_b/config.json"))["torch_dtype"] == "bfloat16");
  const auto original = Model::load(from, Precision{}), mean = Model::load(folder.text("mean"), Precision{}),
             rounded = Model::load(folder.text("of_b"), Precision{});
  const auto a = original->parameters(), b = mean->parameters(), c = rounded->parameters();
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(largest_difference(3 * a[i]->master, b[i]->master) < 1e-6);
    CHECK(c[i]->master.equal((3 * a[i]->master).to(at::kBFloat16).to(at::kFloat)));
  }
}

TEST_CASE("merging folders: a head that is tied to the embedding stays tied") {
  const TempFolder folder;
  for (const std::string name : {"qwen2", "smollm"}) {
    const std::string from = test_file("model/golden/" + name);
    const bool tied = read_model_config(from).tied;
    scale_model(from, 3, folder.text(name));
    merge_folders(
        {{"method", "linear"}, {"models", {{{"path", from}}, {{"path", folder.text(name)}, {"weight", 3}}}}},
        folder.text(name + "-out"));
    CHECK(read_model_config(folder.text(name + "-out")).tied == tied);
    const auto before = Model::load(from, Precision{}),
               after = Model::load(folder.text(name + "-out"), Precision{});
    const auto a = before->parameters(), b = after->parameters();
    CHECK(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i)
      CHECK(largest_difference(2.5 * a[i]->master, b[i]->master) <
            1e-1 * a[i]->master.abs().max().item<double>());
  }
}

TEST_CASE("merging folders: what cannot be merged is one clear line and leaves no folder") {
  const TempFolder folder;
  const std::string llama = test_file("model/golden/llama3"), mistral = test_file("model/golden/mistral"),
                    linear = test_file("model/golden/llama_linear");
  const auto two = [](const std::string& a, const std::string& b) {
    return Json{{{"path", a}}, {{"path", b}}};
  };
  const std::pair<Json, const char*> cases[] = {
      {{{"method", "linear"}, {"models", two(llama, mistral)}}, "two families: llama and mistral"},
      {{{"method", "linear"}, {"models", two(llama, linear)}}, "not of one shape"},
      {{{"method", "linear"}, {"models", two(llama, "/nowhere")}}, "found nothing"},
      {{{"method", "linear"}, {"models", two(llama, llama)}, {"density", 1}}, "density"},
      {{{"method", "linear"}, {"models", Json::array()}}, "at least 2 models, found 0"},
      {{{"method", "nothing"}, {"models", two(llama, llama)}}, "nothing"},
      {{{"models", two(llama, llama)}}, "method"},
      {{{"method", "ties"}, {"models", two(llama, llama)}}, "base: missing"},
      {{{"method", "ties"}, {"models", two(llama, llama)}, {"base", llama}, {"trim", "row"}}, "trim"},
      {{{"method", "fisher"}, {"models", two(llama, llama)}}, "models.0.statistics: missing"},
      {{{"method", "linear"}, {"models", {{{"weight", 1}}, {{"path", llama}}}}}, "path"},
      {{{"method", "linear"}, {"models", {{{"path", llama}, {"weight", "much"}}, {{"path", llama}}}}},
       "weight"},
  };
  for (const auto& [json, pattern] : cases) {
    CAPTURE(json.dump());
    const std::string text = merge_refusal(json, folder.text("no"));
    CAPTURE(text);
    CHECK(text.find(pattern) != std::string::npos);
    CHECK_FALSE(fs::exists(folder.text("no/merge.json")));
  }
}

}  // namespace temper

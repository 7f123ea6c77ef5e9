// The statistics that merges read, against hooks on transformers (scripts/oracles/merge_statistics.py).
#include "merge/statistics.h"

#include "base/error.h"
#include "base/file.h"
#include "cases.h"
#include "model/model.h"

namespace temper {
namespace {

std::vector<Example> examples_of(const Json& golden) {
  std::vector<Example> out;
  const Json& examples = golden["examples"];
  for (const Json& e : examples)
    out.push_back({e["ids"].get<std::vector<int64_t>>(), e["target"].get<std::vector<bool>>()});
  return out;
}

std::unique_ptr<Model> small_model() {
  return Model::load(test_file("model/golden/llama3"), Precision{});
}

std::string statistics_refusal(const std::string& path, const std::string& kind) {
  try {
    open_statistics(path, kind);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("statistics: Gram matrices, Fisher and K-FAC factors equal those of hooks on transformers") {
  const Json golden = read_json_file(test_file("merge/golden/statistics.json"));
  const TempFolder folder;
  for (const std::string& kind : statistics_kinds()) {
    const auto model = small_model();
    write_statistics(*model, examples_of(golden), {.kind = kind}, folder.text(kind));
    CHECK(model->delta() == nullptr);
  }
  int compared = 0;
  const Json& statistics = golden["statistics"];
  for (const auto& [name, expected] : statistics.items()) {
    CAPTURE(name);
    const std::string kind = name.ends_with(".fisher")          ? "fisher"
                             : name.ends_with(".gradient_gram") ? "kfac"
                                                                : "gram";
    const auto shape = expected["shape"].get<std::vector<int64_t>>();
    for (const std::string& in : {kind, std::string(kind == "gram" ? "kfac" : kind)}) {
      const at::Tensor got = open_statistics(folder.text(in), kind)->tensor(name).narrow(0, 0, shape[0]);
      const at::Tensor wanted = tensor_of(expected["values"], shape);
      CHECK(largest_difference(got, wanted) < 1e-5 * wanted.abs().max().item<double>());
      ++compared;
    }
  }
  CHECK(compared > 8);
  CHECK(SafetensorsFile(folder.text("gram")).tensors().size() == small_model()->linear_modules().size());
  CHECK(SafetensorsFile(folder.text("fisher")).tensors().size() == small_model()->parameters().size());
}

TEST_CASE("statistics: labels that are drawn do not depend on the data's; a second time they are the same") {
  const TempFolder folder;
  std::vector<Example> a = {{{3, 17, 44, 9}, {false, false, false, true}}}, b = a;
  b[0].ids[3] = 77;  // the target itself; nothing reads it
  const auto take = [&](const std::vector<Example>& examples, const std::string& name, uint64_t seed) {
    const auto model = small_model();
    write_statistics(*model, examples, {.kind = "fisher", .sampled_labels = true, .seed = seed},
                     folder.text(name));
    return folder.read(name);
  };
  const std::string first = take(a, "a", 1);
  CHECK(take(a, "again", 1) == first);
  CHECK(take(b, "b", 1) == first);
  bool other = false;
  for (uint64_t seed = 2; seed < 6; ++seed) other |= take(a, "c", seed) != first;
  CHECK(other);
}

TEST_CASE("statistics: what does not fit is one clear line") {
  const TempFolder folder;
  const auto model = small_model();
  CHECK_THROWS_AS(write_statistics(*model, {{{3, 4}, {false, false}}}, {.kind = "fisher"}, folder.text("x")),
                  UserError);
  CHECK_FALSE(fs::exists(folder.text("x")));
  write_statistics(*model, {{{3, 4}, {false, true}}}, {.kind = "gram"}, folder.text("gram"));
  CHECK(
      statistics_refusal(folder.text("gram"), "kfac").find("expected statistics of kind kfac, found gram") !=
      std::string::npos);
  CHECK(statistics_refusal(test_file("model/golden/llama3/model.safetensors"), "gram")
            .find("found other tensors") != std::string::npos);
}

}  // namespace temper

// Every way of merging against float64 forms (scripts/oracles/merging.py), and what each promises.
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "cases.h"
#include "merge/conjugate_gradient.h"
#include "merge/dare.h"
#include "merge/kinds.h"
#include "merge/statistics.h"
#include "merge/task_vectors.h"

namespace temper {
namespace {

struct Goldens {
  Json json = read_json_file(test_file("merge/golden/merging.json"));
  TempFolder folder;
  std::vector<std::unique_ptr<SafetensorsFile>> statistics;

  std::vector<int64_t> shape(const std::string& name) const {
    return json["shapes"][name].get<std::vector<int64_t>>();
  }

  Goldens() {
    for (size_t i = 0; i < json["models"].size(); ++i) {
      NamedTensors tensors;
      for (const char* kind : {"gram", "gradient_gram", "fisher"}) {
        const Json& of = json["models"][i][kind];
        for (const auto& [name, values] : of.items()) {
          const std::string module = std::string(kind) == "fisher" ? name : name.substr(0, name.rfind('.'));
          const auto sizes = shape(name);
          const auto side = std::string(kind) == "gram" ? sizes.back() : sizes.front();
          tensors.emplace_back(
              module + "." + kind,
              tensor_of(values, std::string(kind) == "fisher" ? sizes : std::vector{side, side})
                  .to(at::kFloat));
        }
      }
      const std::string path = folder.text(std::to_string(i) + ".safetensors");
      write_safetensors(path, tensors);
      statistics.push_back(std::make_unique<SafetensorsFile>(path));
    }
  }

  MergeInput input(const Json& c, const MergeNeeds& needs) const {
    MergeInput out;
    const Json& which = c["models"];
    for (const auto& [name, sizes] : json["shapes"].items()) {
      std::vector<at::Tensor> models;
      for (const auto& i : which)
        models.push_back(tensor_of(json["models"][i.get<size_t>()][name], shape(name)));
      const at::Tensor base =
          needs.base == MergeNeeds::kRequired ? tensor_of(json["base"][name], shape(name)) : at::Tensor();
      MergeTensor tensor = merge_tensor(name, base, models, c["weights"].get<std::vector<double>>());
      for (const auto& i : which)
        if (!needs.statistics.empty()) tensor.statistics.push_back(statistics[i.get<size_t>()].get());
      out.tensors.push_back(std::move(tensor));
    }
    out.models.resize(which.size());
    return out;
  }
};

}  // namespace

TEST_CASE("merging: every method equals its formula in float64") {
  const Goldens goldens;
  std::set<std::string> covered = {"atlas"};  // atlas_test.cc
  const Json& cases = goldens.json["cases"];
  for (const Json& c : cases) {
    const std::string name = c["method"];
    CAPTURE(c["options"].dump());
    CAPTURE(name);
    covered.insert(name);
    const auto options = merge_options(name, c["options"]);
    const auto method = options->make();
    const MergeInput input = goldens.input(c, options->needs());
    method->prepare(input);
    for (const MergeTensor& tensor : input.tensors) {
      CAPTURE(tensor.name);
      Json figures = Json::object();
      const at::Tensor got = method->merge(tensor, figures);
      CHECK((got.scalar_type() == at::kFloat));
      // Conjugate gradients multiply rounding, which is fp32's.
      const double allowed = name == "mats" ? 2e-5 : 2e-6;
      CHECK(largest_difference(got, tensor_of(c["expected"][tensor.name], goldens.shape(tensor.name))) <
            allowed);
    }
  }
  for (const std::string& name : merge_registry().names()) {
    CAPTURE(name);
    CHECK(covered.count(name) == 1);
  }
}

TEST_CASE("merging: equal models, and a base equal to them, merge to themselves") {
  const at::Tensor w = at::randn({5, 8});
  for (const std::string name :
       {"linear", "slerp", "task_arithmetic", "ties", "dare", "model_stock", "timber", "expo"}) {
    CAPTURE(name);
    const MergeNeeds needs = merge_options(name, Json::object())->needs();
    const std::vector<at::Tensor> models(
        static_cast<size_t>(std::max<int64_t>(1, std::min<int64_t>(2, needs.most_models))), w);
    const at::Tensor base = needs.base == MergeNeeds::kRequired ? w : at::Tensor();
    CHECK(largest_difference(merged(name, Json::object(), merge_tensor("x", base, models)), w) < 1e-6);
  }
}

TEST_CASE("merging: results do not depend on how a tensor is cut into pieces") {
  // Longer than a piece; the same numbers as several tensors of less.
  const int64_t n = kMergePiece + 4099;
  const at::Tensor base = at::randn({n}), a = base + 0.1 * at::randn({n}), b = base + 0.1 * at::randn({n});
  const Json options = {{"density", 0.25}, {"trim", "tensor"}};
  const at::Tensor whole = merged("ties", options, merge_tensor("x", base, {a, b}));
  const auto kept = [&](const at::Tensor& m) {
    const at::Tensor delta = m - base;
    const at::Tensor least = std::get<0>(delta.abs().topk(n / 4)).min();
    return at::where(delta.abs().ge(least), delta, 0.0);
  };
  const at::Tensor da = kept(a), db = kept(b), positive = (da + db).ge(0);
  const at::Tensor ga = at::where(positive, da.gt(0), da.lt(0)), gb = at::where(positive, db.gt(0), db.lt(0));
  const at::Tensor mean = (da * ga + db * gb) / (ga.to(at::kFloat) + gb).clamp_min(1);
  CHECK(largest_difference(whole, base + mean) < 1e-6);
}

TEST_CASE("merging: bf16 is rounded once") {
  const at::Tensor a = at::randn({300}).to(at::kBFloat16), b = at::randn({300}).to(at::kBFloat16);
  MergeTensor tensor{.name = "x"};
  tensor.models = {StoredTensor(a), StoredTensor(b)};
  tensor.weights = {1, 2};
  tensor.dtype = at::kBFloat16;
  const at::Tensor expected = ((a.to(at::kFloat) + 2 * b.to(at::kFloat)) / 3).to(at::kBFloat16);
  const at::Tensor got = merged("linear", Json::object(), tensor);
  CHECK((got.scalar_type() == at::kBFloat16));
  CHECK(largest_difference(got, expected) < 0.02);
  CHECK((got != expected).sum().item<int64_t>() <= 3);  // by the order of fp32 sums, at the middle of two
}

TEST_CASE("merging: the k-th largest magnitude is exact, ties and signs included") {
  at::Tensor x = at::randn({10000});
  x.narrow(0, 0, 100).fill_(-2.5);
  const at::Tensor sorted = std::get<0>(x.abs().sort(0, /*descending=*/true));
  for (const int64_t k : {1, 2, 37, 100, 5000, 9999, 10000}) {
    CAPTURE(k);
    const float found = kth_largest_magnitude(k, [&](const std::function<void(const at::Tensor&)>& show) {
      for (int64_t at = 0; at < 10000; at += 777) show(x.narrow(0, at, std::min<int64_t>(777, 10000 - at)));
    });
    CHECK(found == sorted[k - 1].item<float>());
  }
}

TEST_CASE("dare: the draws are the named stream's, and their share is the density") {
  const at::Tensor mask = dare_mask(5, "w", 2, 0.3, 0, 1 << 20);
  RandomStream stream(5, "merge.dare.w", 0, 2);
  for (int64_t i = 0; i < 1000; ++i) CHECK(mask[i].item<float>() == (stream.uniform() < 0.3 ? 1.0f : 0.0f));
  const double n = 1 << 20, share = mask.mean().item<double>();
  CHECK(std::abs(share - 0.3) < 4.5 * std::sqrt(0.3 * 0.7 / n));
  CHECK(dare_mask(5, "w", 2, 0.3, 1000, 2000).equal(mask.narrow(0, 1000, 1000)));
  CHECK_FALSE(dare_mask(5, "w", 1, 0.3, 0, 1000).equal(mask.narrow(0, 0, 1000)));
  CHECK_FALSE(dare_mask(6, "w", 2, 0.3, 0, 1000).equal(mask.narrow(0, 0, 1000)));
}

TEST_CASE("dare: the mean over draws is task arithmetic") {
  const at::Tensor base = at::zeros({64}), model = at::ones({64});
  at::Tensor sum = at::zeros({64});
  for (int64_t seed = 0; seed < 400; ++seed)
    sum += merged("dare", {{"seed", seed}, {"density", 0.5}}, merge_tensor("w", base, {model}));
  CHECK(std::abs((sum / 400).mean().item<double>() - 1) < 4.5 * std::sqrt(1.0 / (400 * 64)));
}

TEST_CASE("model stock: models at an obtuse angle give the base, opposite ones too") {
  const at::Tensor base = at::randn({40}), delta = at::randn({40});
  Json told;
  const at::Tensor got = merged("model_stock", Json::object(),
                                merge_tensor("x", base, {base + delta, base - 2 * delta}), {}, &told);
  CHECK(largest_difference(got, base) < 1e-6);
  CHECK(told["cosine"].get<double>() == doctest::Approx(-1.0));
  CHECK(told["t"] == 0.0);
}

TEST_CASE("slerp: opposite and zero vectors are defined") {
  const at::Tensor a = at::randn({9});
  CHECK(largest_difference(merged("slerp", {{"t", 0.25}}, merge_tensor("x", {}, {a, -a})), 0.5 * a) < 1e-6);
  CHECK(largest_difference(merged("slerp", {{"t", 0.25}}, merge_tensor("x", {}, {a, at::zeros({9})})),
                           0.75 * a) < 1e-6);
}

TEST_CASE("timber: the rank of a difference of few directions; a tail of 1 changes nothing") {
  const at::Tensor base = at::randn({50, 20}), u = std::get<0>(at::linalg_qr(at::randn({50, 3}))),
                   v = std::get<0>(at::linalg_qr(at::randn({20, 3})));
  Json told;
  const MergeTensor tensor = merge_tensor("x", base, {base + at::mm(u, v.t())});
  const at::Tensor cut = merged("timber", {{"tail", 0}}, tensor, {}, &told);
  CHECK(told["effective_rank"].get<double>() == doctest::Approx(3.0).epsilon(1e-3));
  CHECK(largest_difference(cut, base + at::mm(u, v.t())) < 1e-5);
  const at::Tensor other = base + 0.1 * at::randn({50, 20});
  CHECK(largest_difference(merged("timber", {{"tail", 1}}, merge_tensor("x", base, {other})), other) < 1e-5);
}

TEST_CASE(
    "conjugate gradients: exact after as many steps as there are directions; nothing to do is nothing done") {
  const at::Tensor x = at::randn({12, 12}), a = at::mm(x, x.t()) + 0.5 * at::eye(12), b = at::randn({12, 1});
  const auto product = [&](const at::Tensor& v) { return at::mm(a, v); };
  const CgResult solved = conjugate_gradient(product, b.clone(), at::zeros({12, 1}), 30, 1e-6);
  CHECK(solved.last <= 1e-6);
  CHECK(largest_difference(at::mm(a, solved.x), b) < 1e-4);
  const CgResult again = conjugate_gradient(product, b.clone(), solved.x.clone(), 30, 1e-3);
  CHECK(again.iterations == 0);
  CHECK(again.x.equal(solved.x));
  const CgResult none = conjugate_gradient([](const at::Tensor& v) { return at::zeros_like(v); },
                                           at::zeros({3}), at::ones({3}), 5, 1e-5);
  CHECK(none.x.equal(at::ones({3})));
}

}  // namespace temper

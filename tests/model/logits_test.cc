// Per-token log-probs against transformers, on tiny random models of every family
// (scripts/oracles/models.py).
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/json.h"
#include "model/golden_models.h"
#include "model/model.h"
#include "test.h"

using namespace temper;

namespace {

std::vector<std::pair<std::vector<int64_t>, std::vector<double>>> sequences(const std::string& folder) {
  std::vector<std::pair<std::vector<int64_t>, std::vector<double>>> out;
  const Json golden = read_json_file(folder + "/golden.json");
  for (const Json& s : golden["sequences"]) {
    out.emplace_back(s["ids"].get<std::vector<int64_t>>(), s["logprobs"].get<std::vector<double>>());
  }
  return out;
}

}  // namespace

TEST_CASE("logits: every family's log-probs equal transformers', sequences packed together") {
  const at::NoGradGuard no_grad;
  for (const std::string& name : kNames) {
    CAPTURE(name);
    const std::string folder = test_file("model/golden/" + name);
    const auto model = Model::load(folder, Precision{});
    const auto golden = sequences(folder);
    Packer packer;
    std::vector<double> expected;
    for (size_t s = 0; s < golden.size(); ++s) {
      const int64_t length = static_cast<int64_t>(golden[s].first.size());
      packer.add_targets(packer.add_segment(golden[s].first), 0, length, static_cast<int64_t>(s));
      expected.insert(expected.end(), golden[s].second.begin(), golden[s].second.end());
    }
    const auto device = at::Device(at::kCPU);
    const auto result = model_logp(*model, packer.tokens_on(device),
                                   packer.targets_on(device, static_cast<int64_t>(golden.size())));
    REQUIRE(result.logp.numel() == static_cast<int64_t>(expected.size()));
    const double worst =
        (result.logp.to(at::kDouble) - at::tensor(expected, at::kDouble)).abs().max().item<double>();
    MESSAGE(name, ": largest difference ", worst);
    CHECK(worst < 2e-5);
  }
}

TEST_CASE("logits: a prompt shared by two answers gives what two whole sequences give") {
  const at::NoGradGuard no_grad;
  for (const std::string& name : kNames) {
    CAPTURE(name);
    const std::string folder = test_file("model/golden/" + name);
    const auto model = Model::load(folder, Precision{});
    const auto golden = sequences(folder);
    const std::vector<int64_t>& ids = golden[3].first;  // 100 tokens: 40 of prompt, 60 of answer
    Packer packer;
    const int64_t prompt = packer.add_segment({ids.begin(), ids.begin() + 40});
    const int64_t other = packer.add_segment(golden[2].first, prompt);
    const int64_t answer = packer.add_segment({ids.begin() + 40, ids.end()}, prompt);
    packer.add_targets(other, 0, static_cast<int64_t>(golden[2].first.size()), 0);
    packer.add_targets(answer, 0, 60, 1);
    const auto device = at::Device(at::kCPU);
    const auto targets = packer.targets_on(device, 2);
    const auto logp =
        model_logp(*model, packer.tokens_on(device), targets).logp.index({targets.sequence == 1});
    const std::vector<double> tail(golden[3].second.begin() + 39, golden[3].second.end());
    CHECK((logp.to(at::kDouble) - at::tensor(tail, at::kDouble)).abs().max().item<double>() < 2e-5);
  }
}

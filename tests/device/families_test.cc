// Every family on an accelerator: the CPU's log-probs, gradients and completions.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "base/file.h"
#include "device/fake_device.h"
#include "model/golden_families.h"
#include "rollout/engine.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using at::Tensor;
using namespace temper;

TEST_CASE("fake device: every family has the CPU's log-probs and gradients, and decodes") {
  fake::start();
  const at::Device device(c10::kPrivateUse1, 0);
  for (const std::string& folder : golden_folders()) {
    CAPTURE(folder);
    const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
    std::vector<Tensor> logps, gradients;
    std::vector<std::vector<float>> said;
    for (const at::Device where : {at::Device(at::kCPU), device}) {
      Precision precision;
      precision.device = where;
      const auto model = Model::load(folder, precision);
      model->expect_length(100);
      model->set_trainable([](const std::string&) { return true; });
      Packer packer;
      const int64_t prompt = packer.add_segment(golden[1].ids),
                    other = packer.add_segment(golden[2].ids, prompt);
      const int64_t answer = packer.add_segment({golden[3].ids.begin(), golden[3].ids.begin() + 40}, prompt);
      packer.add_targets(other, 0, 23, 0);
      packer.add_targets(answer, 0, 40, 1);
      const Tensor logp = model_logp(*model, packer.tokens_on(where), packer.targets_on(where, 2)).logp;
      torch::autograd::backward({logp.sum()}, {});
      logps.push_back(logp.detach().cpu());
      std::vector<Tensor> all;
      for (Parameter* p : model->parameters()) all.push_back(p->master.grad().detach().cpu().flatten());
      gradients.push_back(at::cat(all));
      SamplingOptions sampling;
      sampling.max_new_tokens = 20;
      const std::vector<GenerateRequest> requests = {{.prompt = golden[2].ids, .samples = 2}};
      if (model->config().attention_softcap > 0 && !where.is_cpu()) {
        CHECK_THROWS_WITH_AS(generate(*model, FakeTokenizer({}), requests, sampling, {}),
                             doctest::Contains("soft cap"), UserError);
        said.push_back(said.back());
        continue;
      }
      const auto completions = generate(*model, FakeTokenizer({}), requests, sampling, {});
      said.push_back(completions[0][0].logp);
    }
    CHECK((logps[0] - logps[1]).abs().max().item<double>() < 2e-5);
    CHECK((gradients[0] - gradients[1]).abs().max().item<double>() <
          2e-5 * std::max(1.0, gradients[0].abs().max().item<double>()));
    REQUIRE(said[0].size() == said[1].size());
    for (size_t i = 0; i < said[0].size(); ++i)
      CHECK(said[0][i] == doctest::Approx(said[1][i]).epsilon(1e-4));
  }
}

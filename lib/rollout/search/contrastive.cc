#include "rollout/search/contrastive.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "rollout/reading.h"

namespace temper {
namespace {

at::Tensor of_length_one(const at::Tensor& hidden) {
  const at::Tensor h = hidden.to(at::kFloat);
  return h / h.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

void ContrastiveOptions::fields(FieldVisitor& v) {
  v.field("top_k", top_k, {.help = "tokens that are compared", .unit = "tokens", .min = 1, .max = 1024});
  v.field("alpha", alpha,
          {.help = "weight of being unlike the text so far, against being probable; 0: greedy",
           .min = 0,
           .max = 1});
}

std::vector<Completion> ContrastiveOptions::find(const SearchScene& scene,
                                                 const GenerateRequest& request) const {
  Model& model = scene.model;
  std::vector<int64_t> prompt = model.virtual_ids();
  prompt.insert(prompt.end(), request.prompt.begin(), request.prompt.end());
  KvPool pool(kv_shape(model));
  const ReadPrompt read = read_prompts(model, pool, {prompt}).front();
  const auto length = static_cast<int64_t>(prompt.size());
  at::Tensor text = at::empty({length + scene.sampling.max_new_tokens, read.hidden.size(1)},
                              read.hidden.options().dtype(at::kFloat));  // hidden states, of length one
  text.narrow(0, 0, length).copy_(of_length_one(read.hidden));
  at::Tensor logits = model.logits(read.hidden.narrow(0, length - 1, 1));
  const int64_t k = std::min(top_k, logits.size(1));
  std::vector<std::unique_ptr<KvRun>> runs;  // of the text behind the prompt, one for each token to compare
  for (int64_t i = 0; i < k; ++i) runs.push_back(std::make_unique<KvRun>(pool));

  Completion out;
  while (static_cast<int64_t>(out.ids.size()) < scene.sampling.max_new_tokens) {
    const auto written = static_cast<int64_t>(out.ids.size());
    const bool may_end = written >= scene.sampling.min_new_tokens;
    const std::vector<int64_t> none;
    const at::Tensor logp = text_search::open_logp(logits, may_end ? none : scene.end_ids)[0];
    const auto [top, ids] = at::topk(logp, k);
    TokensToRead tokens;
    for (int64_t i = 0; i < k; ++i)
      tokens.add(ids[i].item<int64_t>(), *read.run, *runs[static_cast<size_t>(i)]);
    const at::Tensor hidden = tokens.hidden(model), direction = of_length_one(hidden);
    const at::Tensor alike =
        at::matmul(direction, text.narrow(0, 0, length + written).t()).amax(1).cpu();  // [k]
    const at::Tensor scores = (top.exp() * (1 - alpha) - alike * alpha)
                                  .masked_fill(at::isneginf(top), -std::numeric_limits<double>::infinity());
    const auto best = scores.argmax().item<int64_t>();
    const auto id = ids[best].item<int64_t>();
    out.ids.push_back(id);
    out.logp.push_back(top[best].item<float>());
    if (text_search::ends(scene.end_ids, id)) {
      out.finish = FinishReason::kEnd;
      break;
    }
    text[length + written].copy_(direction[best]);
    logits = model.logits(hidden.narrow(0, best, 1));
    for (int64_t i = 0; i < k; ++i)
      if (i != best) runs[static_cast<size_t>(i)]->copy_from(*runs[static_cast<size_t>(best)], written);
  }
  std::vector<Completion> all;
  all.push_back(std::move(out));
  return all;
}

}  // namespace temper

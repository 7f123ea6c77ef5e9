#include "rollout/search/text_search.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "rollout/requests.h"
#include "rollout/search/beam.h"
#include "rollout/search/contrastive.h"

namespace temper {
namespace {

struct TextSearchFields : Fields {
  std::string kind;
  std::unique_ptr<TextSearchOptions> options;
  void fields(FieldVisitor& v) override {
    v.choice("search", "kind", options, kind, text_search_registry(), "how completions are searched for");
  }
};

void check_search(const std::vector<GenerateRequest>& requests, const SamplingOptions& sampling,
                  const EngineOptions& engine, const TextSearchOptions& options) {
  if ((sampling.temperature != 1 && sampling.temperature != 0) || sampling.truncates() ||
      sampling.penalises() || !sampling.stop.empty() || !sampling.ban.empty() || sampling.constrains())
    user_error(
        "search: goes by the model's own probabilities; leave out temperature, truncations, penalties, stop, "
        "ban and constraints");
  if (engine.respondent != nullptr || engine.step_tokens > 0 || engine.speculation != nullptr)
    user_error("search: goes with no environment, no partial rollouts and no speculation; leave them out");
  for (const GenerateRequest& request : requests) {
    if (!request.begun.empty()) user_error("search: a completion that was begun cannot be searched on");
    if (request.samples > options.most())
      user_error(
          "search: finds {} completions a prompt, found a request for {}; ask for fewer, or for more beams",
          options.most(), request.samples);
  }
}

void finish(const SearchScene& scene, Completion& c) {
  const bool ended = c.finish == FinishReason::kEnd;
  c.logp_full = c.logp;
  c.text = scene.tokenizer.decode({c.ids.begin(), c.ids.end() - (ended ? 1 : 0)}, false);
  c.raw_text = scene.tokenizer.decode(c.ids, true);
  c.turns = {{0, static_cast<int64_t>(c.ids.size()), c.finish}};
}

}  // namespace

const Registry<TextSearchOptions>& text_search_registry() {
  static const Registry<TextSearchOptions> registry = [] {
    Registry<TextSearchOptions> r("search");
    r.add({"beam",
           "the completions of the largest log-probs by length, among a few that are kept at each token",
           "transformers 5.23, GenerationMixin._beam_search",
           [] { return std::make_unique<BeamOptions>(); }});
    r.add({"contrastive", "of the k most probable tokens the one that is probable and unlike the text so far",
           "Su et al. 2022, arXiv:2202.06417", [] { return std::make_unique<ContrastiveOptions>(); }});
    return r;
  }();
  return registry;
}

std::unique_ptr<TextSearchOptions> read_text_search(const std::string& text, const std::string& where) {
  if (text.empty()) return nullptr;
  TextSearchFields fields;
  const Json options = text[0] == '{' ? parse_json(text, where) : Json{{"kind", text}};
  read_fields(fields, {{"search", options}}, where, ".");
  if (!fields.options) user_error("{}: expected a kind, found an empty one", where);
  return std::move(fields.options);
}

std::vector<std::vector<Completion>> search(Model& model, const Tokenizer& tokenizer,
                                            const std::vector<GenerateRequest>& requests,
                                            const SamplingOptions& sampling, const EngineOptions& engine,
                                            const TextSearchOptions& options,
                                            const std::function<void(const EngineProgress&)>& on_progress) {
  const at::NoGradGuard no_grad;
  check_requests(model, requests, sampling, engine);
  check_search(requests, sampling, engine, options);
  const SearchScene scene{model, tokenizer, sampling, engine.end_ids};
  std::vector<std::vector<Completion>> out;
  EngineProgress progress;
  for (const GenerateRequest& request : requests) progress.total += request.samples;
  for (const GenerateRequest& request : requests) {
    out.emplace_back();
    if (request.samples > 0) out.back() = options.find(scene, request);
    if (static_cast<int64_t>(out.back().size()) < request.samples)
      user_error("search: found {} completions of prompt {}, not {}: there are no more", out.back().size(),
                 out.size() - 1, request.samples);
    out.back().resize(static_cast<size_t>(request.samples));
    for (Completion& c : out.back()) {
      finish(scene, c);
      progress.tokens += static_cast<int64_t>(c.ids.size());
      ++progress.finished;
    }
    if (engine.on_request) engine.on_request(out.size() - 1, out.back());
    if (on_progress) on_progress(progress);
  }
  return out;
}

namespace text_search {

at::Tensor open_logp(const at::Tensor& logits, const std::vector<int64_t>& banned) {
  const at::Tensor logp = at::log_softmax(logits.cpu().to(at::kFloat), 1);
  if (banned.empty()) return logp.contiguous();
  return logp.index_fill(1, at::tensor(banned), -std::numeric_limits<double>::infinity()).contiguous();
}

bool ends(const std::vector<int64_t>& end_ids, int64_t id) {
  return std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end();
}

}  // namespace text_search
}  // namespace temper

#include "rollout/speculate/draft_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "rollout/reading.h"

namespace temper {
namespace {

class DraftModel : public DraftingSpeculator {
 public:
  DraftModel(const DraftModelOptions& options, const SpeculationScene& scene, std::shared_ptr<Model> model)
      : DraftingSpeculator(options, scene), model_(std::move(model)), pool_(kv_shape(*model_)) {}

  void ended(const DecodedSequence& s) override {
    texts_.erase(&s);
    DraftingSpeculator::ended(s);
  }

 protected:
  at::Tensor next_logits(const std::vector<Open*>& open) override {
    read_new_prompts(open);
    TokensToRead tokens;
    std::vector<int64_t> last;
    for (const Open* o : open) {
      Text& text = texts_.at(o->sequence);
      std::vector<int64_t> wanted = o->sequence->ids();
      wanted.insert(wanted.end(), o->draft.ids.begin(), o->draft.ids.end());
      // What was refused, or taken back, is no longer there. The last one is read in any case, for its
      // logits.
      const auto same =
          std::mismatch(text.read.begin(), text.read.end(), wanted.begin(), wanted.end() - 1).first;
      text.own->shorten(text.read.end() - same);
      text.read.erase(same, text.read.end());
      for (size_t i = text.read.size(); i < wanted.size(); ++i)
        tokens.add(known(wanted[i]), *text.prompt, *text.own);
      text.read = std::move(wanted);
      last.push_back(tokens.size() - 1);
    }
    const at::Tensor hidden = tokens.hidden(*model_);
    return in_vocabulary(model_->logits(hidden.index_select(0, at::tensor(last).to(hidden.device()))));
  }

 private:
  // What the draft model has read of a sequence, behind its prompt.
  struct Text {
    std::shared_ptr<KvRun> prompt;
    std::unique_ptr<KvRun> own;
    std::vector<int64_t> read;
  };

  void read_new_prompts(const std::vector<Open*>& open) {
    std::vector<std::shared_ptr<KvRun>> kept;
    std::vector<size_t> requests;
    std::vector<std::vector<int64_t>> prompts;
    int64_t tokens = 0;
    const auto read = [&] {
      const std::vector<ReadPrompt> done = read_prompts(*model_, pool_, prompts);
      for (size_t i = 0; i < done.size(); ++i) {
        kept.push_back(done[i].run);
        prompts_[requests[i]] = done[i].run;
      }
      requests.clear(), prompts.clear(), tokens = 0;
    };
    for (const Open* o : open) {
      const size_t request = o->sequence->request();
      if (!prompts_[request].expired() || std::count(requests.begin(), requests.end(), request) > 0) continue;
      requests.push_back(request);
      prompts.emplace_back();
      for (const int64_t id : scene_.requests[request].prompt) prompts.back().push_back(known(id));
      tokens += static_cast<int64_t>(prompts.back().size());
      if (tokens >= kPrefillTokens) read();
    }
    if (!prompts.empty()) read();
    for (const Open* o : open) {
      Text& text = texts_[o->sequence];
      if (text.prompt != nullptr) continue;
      text.prompt = prompts_[o->sequence->request()].lock();
      text.own = std::make_unique<KvRun>(pool_);
    }
  }

  // Models of one tokenizer may have different numbers of ids beyond its own, which no text holds. A draft is
  // a guess, whatever is read for such an id.
  int64_t known(int64_t id) const { return std::min(id, model_->config().vocab - 1); }

  at::Tensor in_vocabulary(const at::Tensor& logits) const {
    const int64_t vocab = scene_.model.config().vocab, own = logits.size(1);
    if (own >= vocab) return logits.narrow(1, 0, vocab);
    return at::constant_pad_nd(logits, {0, vocab - own}, -std::numeric_limits<double>::infinity());
  }

  std::shared_ptr<Model> model_;
  KvPool pool_;
  std::map<size_t, std::weak_ptr<KvRun>> prompts_;  // by request, while a sequence of it is there
  std::map<const DecodedSequence*, Text> texts_;
};

void demand_same_tokens(const Tokenizer& ours, const Tokenizer& drafts, const std::string& folder) {
  const int64_t ids = std::min(ours.vocab_size(), drafts.vocab_size());
  for (int64_t id = 0; id < ids; ++id) {
    if (ours.piece(id) == drafts.piece(id)) continue;
    user_error(
        "speculation.model: {} has another tokenizer than the model: id {} is \"{}\" there and \"{}\" here; "
        "a "
        "draft must share the model's tokens",
        folder, id, drafts.piece(id), ours.piece(id));
  }
}

}  // namespace

void DraftModelOptions::fields(FieldVisitor& v) {
  v.field(
      "model", model,
      {.help = "the folder of a smaller model with the model's tokenizer", .required = true, .path = true});
  DraftingOptions::fields(v);
}

std::unique_ptr<Speculator> DraftModelOptions::begin(const SpeculationScene& scene) const {
  if (loaded == nullptr) {
    demand_same_tokens(scene.tokenizer, *Tokenizer::load(model), model);
    loaded = Model::load(model, scene.model.precision());
  }
  loaded->expect_length(scene.model.expected_length());
  const int64_t positions = loaded->config().max_positions;
  for (size_t r = 0; r < scene.requests.size(); ++r) {
    const auto length = static_cast<int64_t>(scene.requests[r].prompt.size()) + scene.sampling.max_new_tokens;
    if (length > positions)
      user_error(
          "speculation.model: {} has {} positions, but prompt {} may grow to {} tokens; lower max_new_tokens",
          model, positions, r, length);
  }
  return std::make_unique<DraftModel>(*this, scene, loaded);
}

}  // namespace temper

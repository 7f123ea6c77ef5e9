#include "reward/text/embedding.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "model/model.h"
#include "reward/columns.h"
#include "text/tokenizer.h"

namespace temper {
namespace {

class Embedding : public Reward {
 public:
  explicit Embedding(const EmbeddingOptions& o) : o_(o) {
    if (!fs::is_directory(o.path)) user_error("reward embedding: path: no such folder: {}", o.path);
    tokenizer_ = Tokenizer::load(o.path);
    model_ = Model::load(o.path, make_precision(o.dtype, o.device));
    model_->set_trainable([](const std::string&) { return false; });
    longest_ = o.max_tokens > 0 ? o.max_tokens : model_->config().max_positions;
  }

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    // Each text once: of n candidates that are compared with each other there are n, and n^2 pairs.
    std::map<std::string, size_t> places;
    std::vector<std::string> texts;
    const auto place = [&](const std::string& text) {
      const auto [at, added] = places.try_emplace(text, texts.size());
      if (added) texts.push_back(text);
      return at->second;
    };
    std::vector<std::pair<size_t, std::vector<size_t>>> asked;
    for (const RewardItem& item : items) {
      asked.push_back({place(item.completion), {}});
      for (const std::string& reference : column_texts(item.columns, o_.column, "embedding"))
        asked.back().second.push_back(place(reference));
    }
    const std::vector<at::Tensor> embedded = embed(texts);
    std::vector<Score> out;
    for (const auto& [completion, references] : asked) {
      std::optional<double> best;
      for (const size_t reference : references) {
        if (!embedded[completion].defined() || !embedded[reference].defined()) continue;
        const double cosine = embedded[completion].dot(embedded[reference]).item<double>();
        best = std::max(best.value_or(-1), cosine);
      }
      out.emplace_back(best);
    }
    return out;
  }

  std::optional<std::string> check(const Json& columns) const override {
    return no_reference(columns, o_.column, "embedding");
  }

 private:
  // [H] float64 of length 1 each; undefined for a text without tokens.
  std::vector<at::Tensor> embed(const std::vector<std::string>& texts) {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> out(texts.size());
    for (size_t i = 0; i < texts.size();) {
      Packer packer;
      std::vector<std::pair<size_t, int64_t>> begins;
      for (; i < texts.size(); ++i) {
        std::vector<int64_t> ids = tokenizer_->encode(texts[i]);
        ids.resize(std::min(ids.size(), static_cast<size_t>(longest_)));
        if (ids.empty()) continue;
        if (!begins.empty() && packer.tokens() + static_cast<int64_t>(ids.size()) > o_.micro_batch_tokens)
          break;
        begins.emplace_back(i, packer.tokens());
        packer.add_segment(ids);
      }
      if (begins.empty()) break;
      const at::Tensor hidden =
          model_->hidden(packer.tokens_on(model_->precision().device)).to(at::kCPU, at::kDouble);
      for (size_t k = 0; k < begins.size(); ++k) {
        const int64_t end = k + 1 < begins.size() ? begins[k + 1].second : hidden.size(0);
        const at::Tensor mean = hidden.slice(0, begins[k].second, end).mean(0);
        out[begins[k].first] = mean / mean.norm().clamp_min(1e-12);
      }
    }
    return out;
  }

  EmbeddingOptions o_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Model> model_;
  int64_t longest_ = 0;
};

}  // namespace

void EmbeddingOptions::fields(FieldVisitor& v) {
  v.field("path", path, {.help = "a causal model's folder", .path = true});
  v.field("column", column, {.help = "the column with the reference, or with an array of several"});
  v.field("max_tokens", max_tokens,
          {.help = "of a longer text only the first so many count; 0: the model's limit", .min = 0});
  v.field("micro_batch_tokens", micro_batch_tokens, {.help = "tokens of one pass", .min = 1});
  v.field("dtype", dtype, {.help = "of the weights", .choices = {"auto", "f32", "bf16"}});
  v.field("device", device, {.help = "cpu or cuda"});
}

void EmbeddingOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (path.empty()) problems.push_back(where + ".path: expected a model's folder");
}

std::unique_ptr<Reward> EmbeddingOptions::make() const {
  return std::make_unique<Embedding>(*this);
}

}  // namespace temper

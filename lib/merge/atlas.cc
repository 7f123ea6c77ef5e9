// aTLAS (arXiv 2407.02880): task vectors with learnt coefficients,
//   W_b = W_b0 + sum_i lambda_{i,b} T_{i,b}
// for each tensor b, or with `partitions` K > 1 for each of K random parts of its elements, which makes K
// times as many. Only lambda is learnt, from 0, by AdamW with a cosine schedule and no warm-up: by the
// cross-entropy of the data's targets, or without labels by the entropy of what the model says at them
// (`objective`). The gradient by lambda_{i,b} is <dL/dW_b, T_{i,b}>, so a step is a step of the plain model.
// The authors' vision models give one answer; here each target token is one. Their partitions are drawn once
// for a shape and leave vectors alone, here once for a tensor, vectors too. They keep the coefficients of the
// best epoch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "merge/examples.h"
#include "merge/kinds.h"
#include "merge/task_vectors.h"
#include "model/model.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

namespace temper {
namespace {

struct AtlasOptions : MergeOptions {
  std::vector<std::string> data;
  std::string objective = "labels";
  int64_t partitions = 1, steps = 100, batch_size = 8, max_tokens = 1024, seed = 1;
  double lr = 0.01, weight_decay = 0.1;
  void fields(FieldVisitor& v) override {
    v.field("data", data, {.help = "JSONL to learn from, as sft reads it", .required = true, .path = true});
    v.field(
        "objective", objective,
        {.help = "labels: the targets' cross-entropy; entropy: that of what the model says, of prompts too",
         .choices = {"labels", "entropy"}});
    v.field("partitions", partitions,
            {.help = "random parts of a tensor with coefficients of their own", .min = 1, .max = 4096});
    v.field("steps", steps, {.help = "updates", .min = 0});
    v.field("batch_size", batch_size, {.help = "records an update", .min = 1});
    v.field("lr", lr, {.help = "learning rate", .min = 0});
    v.field("weight_decay", weight_decay, {.help = "AdamW's", .min = 0});
    v.field("max_tokens", max_tokens, {.help = "longer records are cut", .unit = "tokens", .min = 2});
    v.field("seed", seed, {.help = "of the order of records and of the partitions", .min = 0});
  }
  MergeNeeds needs() const override { return {.base = MergeNeeds::kRequired, .least_models = 1}; }
  std::unique_ptr<MergeMethod> make() const override;
};

class Atlas : public MergeMethod {
 public:
  explicit Atlas(const AtlasOptions& options) : o_(options) {}

  void prepare(const MergeInput& input) override {
    const auto blocks = static_cast<int64_t>(input.tensors.size()),
               models = static_cast<int64_t>(input.models.size());
    for (int64_t b = 0; b < blocks; ++b) block_[input.tensors[static_cast<size_t>(b)].name] = b;
    lambda_ = at::zeros({blocks, models, o_.partitions});
    const auto examples = read_examples(
        input.base, {.files = o_.data, .max_tokens = o_.max_tokens, .prompts = o_.objective == "entropy"});
    const auto model = Model::load(input.base, Precision{});
    model->set_trainable([](const std::string&) { return true; });
    const auto optimizer = adamw();
    const auto schedule = schedule_registry().find("cosine")->make();
    const RecordOrder order(static_cast<int64_t>(examples.size()), static_cast<uint64_t>(o_.seed), "shuffle");
    for (int64_t step = 0; step < o_.steps; ++step) {
      compose_into(*model, input);
      Packer packer;
      for (int64_t j = 0; j < o_.batch_size; ++j) {
        const Example& example = examples[static_cast<size_t>(order.at(step * o_.batch_size + j))];
        const int64_t segment = packer.add_segment(example.ids);
        for (size_t i = 0; i < example.target.size(); ++i) {
          const auto at = static_cast<int64_t>(i);
          if (example.target[i]) packer.add_targets(segment, at, at + 1, j);
        }
      }
      const bool entropy = o_.objective == "entropy";
      const LogpResult said =
          model_logp(*model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, o_.batch_size),
                     {.entropy = entropy, .entropy_gradient = entropy});
      const at::Tensor loss = entropy ? said.entropy.mean() : -said.logp.mean();
      loss.backward();
      lambda_.mutable_grad() = gradient(*model, input);
      std::vector<OptimParameter> one = {{"coefficients", lambda_}};
      clip_gradients(one, gradient_norm(one), 1.0);
      optimizer->step(o_.lr * schedule->factor(step, o_.steps));
      losses_.push_back(loss.item<double>());
      if (step == 0 || (step + 1) % std::max<int64_t>(1, o_.steps / 10) == 0)
        log_info("atlas: step {}/{}, {} {:.4f}", step + 1, o_.steps, entropy ? "entropy" : "loss",
                 losses_.back());
    }
  }

  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    const at::Tensor of = lambda_[block_.at(t.name)];
    figures["coefficients"] = rows(of);
    return made_in_pieces(t.shape(), t.dtype,
                          [&](int64_t begin, int64_t end) { return composed(t, of, begin, end); });
  }

  Json summary() const override { return {{"coefficients", lambda_.numel()}, {"losses", losses_}}; }

 private:
  // [end - begin] int64: which part an element is of.
  at::Tensor parts(const std::string& name, int64_t begin, int64_t end) const {
    using namespace random_parts;
    const uint64_t key =
        mix(shared_key(static_cast<uint64_t>(o_.seed), "merge.atlas." + name, 0) ^ mix(3 * kGolden));
    at::Tensor out = at::empty({end - begin}, at::kLong);
    int64_t* part = out.mutable_data_ptr<int64_t>();
    at::parallel_for(0, end - begin, 1 << 15, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const uint64_t bits = mix(key + kGolden * static_cast<uint64_t>(begin + i + 1));
        part[i] = static_cast<int64_t>(bits % static_cast<uint64_t>(o_.partitions));
      }
    });
    return out;
  }

  // W_b of elements [begin, end); of: lambda's [models, partitions].
  at::Tensor composed(const MergeTensor& t, const at::Tensor& of, int64_t begin, int64_t end) const {
    const at::Tensor base = t.base->piece(begin, end), part = parts(t.name, begin, end);
    at::Tensor sum = base.clone();
    for (size_t i = 0; i < t.models.size(); ++i) {
      const at::Tensor coefficients = of[static_cast<int64_t>(i)].index_select(0, part);
      sum.addcmul_(coefficients, task_vector(t, i, base, begin, end));
    }
    return sum;
  }

  void compose_into(Model& model, const MergeInput& input) const {
    const at::NoGradGuard no_grad;
    for (const MergeTensor& t : input.tensors) {
      at::Tensor row = model.find(t.name)->master.view({-1});
      in_pieces(t.numel(), [&](int64_t begin, int64_t end) {
        row.narrow(0, begin, end - begin).copy_(composed(t, lambda_[block_.at(t.name)], begin, end));
      });
    }
    model.refresh();
  }

  // dL/dlambda from the gradients of the weights, which are taken away.
  at::Tensor gradient(Model& model, const MergeInput& input) const {
    const at::NoGradGuard no_grad;
    at::Tensor out = at::zeros(lambda_.sizes(), at::kDouble);
    for (const MergeTensor& t : input.tensors) {
      at::Tensor& of = model.find(t.name)->master.mutable_grad();
      if (!of.defined()) continue;
      const at::Tensor row = of.reshape({-1});
      in_pieces(t.numel(), [&](int64_t begin, int64_t end) {
        const at::Tensor base = t.base->piece(begin, end), part = parts(t.name, begin, end);
        const at::Tensor piece = row.narrow(0, begin, end - begin);
        for (size_t i = 0; i < t.models.size(); ++i) {
          const at::Tensor products = task_vector(t, i, base, begin, end).mul_(piece).to(at::kDouble);
          out[block_.at(t.name)][static_cast<int64_t>(i)].index_add_(0, part, products);
        }
      });
      of.reset();
    }
    return out.to(at::kFloat);
  }

  std::unique_ptr<Optimizer> adamw() const {
    const auto options = optimizer_registry().find("adamw")->make();
    options->weight_decay = o_.weight_decay;
    return options->make({{"coefficients", lambda_}});
  }

  static Json rows(const at::Tensor& of) {
    Json out = Json::array();
    for (int64_t i = 0; i < of.size(0); ++i) {
      Json row = Json::array();
      for (int64_t k = 0; k < of.size(1); ++k) row.push_back(of[i][k].item<double>());
      out.push_back(std::move(row));
    }
    return out;
  }

  AtlasOptions o_;
  at::Tensor lambda_;  // [tensors, models, partitions] fp32
  std::map<std::string, int64_t> block_;
  std::vector<double> losses_;
};

std::unique_ptr<MergeMethod> AtlasOptions::make() const {
  return std::make_unique<Atlas>(*this);
}

}  // namespace

std::unique_ptr<MergeOptions> merge_atlas() {
  return std::make_unique<AtlasOptions>();
}

}  // namespace temper

#include "rollout/recorded_steps.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "rollout/device_decode.h"
#include "rollout/device_sampler.h"
#include "tensor/accelerator/ops.h"

namespace temper {

using at::Tensor;

// A step of `rows` sequences: the tensors that its kernels read, and those that they write.
struct RecordedSteps::Recording {
  int64_t rows;
  Tensor longs;    // [3 rows]: ids, positions, places of the new tokens
  Tensor numbers;  // [6 rows + 4] int32: SpansOver::numbers of own tokens, then of prompts
  Tensor uniform;  // [rows] fp64
  Tensor no_end;   // [rows, end ids] fp32: 0, or -inf where they may not come
  Tensor logits, drawn;
  int64_t arena_rows = 0;  // when this was recorded: an arena that has grown stands elsewhere
  std::unique_ptr<DeviceGraph> graph;
};

namespace {

// The attention of a recorded step.
class RecordedContext : public AttentionContext {
 public:
  RecordedContext(const KvArena& arena, Tensor place, DecodeReads reads)
      : arena_(arena), place_(std::move(place)), reads_(std::move(reads)) {}
  Tensor attend(int64_t layer, const Tensor& q, const Tensor& k, const Tensor& v,
                const AttentionLaw& law) override {
    return attend_step(q, k, v, arena_, place_, reads_, layer, law);
  }
  Tensor mix(int64_t, const MixInput&) override { bug("steps with a state are not recorded"); }
  Tensor convolve(int64_t, const Tensor&, const Tensor&) override {
    bug("steps with a state are not recorded");
  }

 private:
  const KvArena& arena_;
  Tensor place_;
  DecodeReads reads_;
};

// As many pieces as rows, whatever the prompts.
SpansOver filled_up(SpansOver pieces, int64_t rows) {
  while (pieces.pieces() < rows) pieces.add(0, 0, 1);
  return pieces;
}

}  // namespace

RecordedSteps::RecordedSteps(Model& model, const SamplingOptions& sampling, std::vector<int64_t> end_ids,
                             KvPool& pool, int64_t max_batch)
    : model_(model),
      sampling_(sampling),
      end_ids_(std::move(end_ids)),
      pool_(pool),
      max_batch_(max_batch),
      nobody_(pool),
      recorder_(model.precision().device) {
  nobody_.extend(1);
  const int64_t vocab = model.config().vocab;
  std::erase_if(end_ids_, [&](int64_t id) { return id < 0 || id >= vocab; });
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
}

RecordedSteps::~RecordedSteps() = default;

bool RecordedSteps::can(Model& model, const SamplingOptions& sampling, int64_t longest) {
  const ModelConfig& config = model.config();
  bool beyond = config.attention_softcap > 0 || config.experts.count > 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    beyond |= config.window(layer) > 0 && config.window(layer) < longest;
    beyond |=
        config.recurrent(layer) || config.head_dim_of(layer) % 8 != 0 || config.head_dim_of(layer) > 256;
  }
  return !model.precision().device.is_cpu() && model.precision().compute == at::kBFloat16 && !beyond &&
         samples_on_device(sampling) && sampling.ban.empty() && model.virtual_tokens() == nullptr;
}

// A batch's size fills up to a power of two: rows cost little, recordings much.
RecordedSteps::Recording& RecordedSteps::recording_for(int64_t rows) {
  const auto wanted = std::min(max_batch_, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows))));
  auto& r = recordings_[wanted];
  if (r != nullptr) return *r;
  r = std::make_unique<Recording>();
  r->rows = wanted;
  const at::Device device = model_.precision().device;
  const auto made = [&](at::IntArrayRef sizes, at::ScalarType type) {
    return at::zeros(sizes, at::TensorOptions(device).dtype(type));
  };
  r->longs = made({3 * wanted}, at::kLong);
  r->numbers = made({6 * wanted + 4}, at::kInt);
  r->uniform = made({wanted}, at::kDouble);
  r->no_end = made({wanted, static_cast<int64_t>(end_ids_.size())}, at::kFloat);
  r->drawn = made({wanted, 3}, at::kDouble);
  return *r;
}

void RecordedSteps::record(Recording& r) {
  const int64_t n = r.rows, half = 3 * n + 2;
  const SpansOver shape = filled_up({}, n);
  // Lengths are what used_k says; the longest is a bound for both.
  const int64_t longest = model_.config().max_positions;
  DecodeReads reads{shape.over(r.numbers.narrow(0, 0, half), 1, longest),
                    shape.over(r.numbers.narrow(0, half, half), n, longest),
                    {},
                    true};
  const auto context =
      std::make_shared<RecordedContext>(pool_.arena(), r.longs.narrow(0, 2 * n, n), std::move(reads));
  const Tensor ends = at::tensor(end_ids_, at::kLong).to(r.longs.device());
  const bool holds_back = sampling_.min_new_tokens > 0 && !end_ids_.empty();
  r.graph = recorder_.record([this, &r, n, context, ends, holds_back] {
    const at::NoGradGuard no_grad;
    const Tensor hidden = model_.hidden(r.longs.narrow(0, 0, n), r.longs.narrow(0, n, n), *context);
    r.logits = model_.logits(hidden);
    const Tensor full = scaled_logp(r.logits, sampling_);
    Tensor open = full;
    if (holds_back) {
      open = full.clone();
      on_device::put_rows(open, 1, ends, full.index_select(1, ends) + r.no_end);
    }
    r.drawn.copy_(draw_tokens(full, truncated(open, sampling_), sampling_, r.uniform));
  });
  r.arena_rows = pool_.arena().rows();
}

std::vector<SampledToken> RecordedSteps::run(const std::vector<StepRow>& rows) {
  Recording& r = recording_for(static_cast<int64_t>(rows.size()));
  const auto n = static_cast<size_t>(r.rows);
  std::vector<int64_t> longs(3 * n, 0);
  std::vector<double> uniform(n, 0.5);
  std::vector<float> no_end(n * end_ids_.size(), 0.0f);
  std::vector<std::vector<int64_t>> banned(rows.size());
  std::vector<DecodeRow> runs(n, DecodeRow{&nobody_, &nobody_, nobody_.length()});
  for (size_t i = 0; i < n; ++i) {
    if (i < rows.size()) {
      const StepRow& row = rows[i];
      longs[i] = row.id, longs[n + i] = row.position, uniform[i] = row.uniform, runs[i] = row.runs;
      if (!row.may_end) {
        banned[i] = end_ids_;
        std::fill_n(no_end.begin() + static_cast<int64_t>(i * end_ids_.size()), end_ids_.size(),
                    -std::numeric_limits<float>::infinity());
      }
    }
    longs[2 * n + i] = runs[i].own->stretch().begin + runs[i].seen - 1;
  }
  std::vector<int32_t> numbers = own_pieces(runs).numbers();
  const std::vector<int32_t> prompts = filled_up(prompt_pieces(runs), r.rows).numbers();
  numbers.insert(numbers.end(), prompts.begin(), prompts.end());
  r.longs.copy_(at::tensor(longs, at::kLong));
  r.numbers.copy_(at::tensor(numbers, at::kInt));
  r.uniform.copy_(at::tensor(uniform, at::kDouble));
  if (!no_end.empty() && sampling_.min_new_tokens > 0)
    r.no_end.copy_(at::tensor(no_end).view(r.no_end.sizes()));
  const bool usable = r.graph != nullptr && r.graph->valid() && r.arena_rows == pool_.arena().rows();
  if (!usable) record(r);
  r.graph->replay();
  return read_draws(r.drawn, r.logits, sampling_, banned);
}

}  // namespace temper

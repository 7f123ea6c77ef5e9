#include "train/shard.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "train/shared.h"

namespace temper {
namespace {

std::string text_of(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

OptimizerMetric joined(const OptimizerMetric& a, const OptimizerMetric& b) {
  const double weight = a.weight + b.weight;
  return weight == 0 ? OptimizerMetric{std::max(a.value, b.value)}
                     : OptimizerMetric{(a.value * a.weight + b.value * b.weight) / weight, weight};
}

}  // namespace

std::vector<int64_t> assign_owners(const std::vector<std::pair<std::string, int64_t>>& sizes, int64_t ranks) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return sizes[a].second != sizes[b].second ? sizes[a].second > sizes[b].second
                                              : sizes[a].first < sizes[b].first;
  });
  std::vector<int64_t> owners(sizes.size()), load(static_cast<size_t>(ranks), 0);
  for (const size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += sizes[i].second;
    owners[i] = least - load.begin();
  }
  return owners;
}

std::vector<SharedParameter> share_out(Adapter& adapter, Model& model, int64_t ranks) {
  const auto trainable = adapter.trainable();
  std::vector<std::pair<std::string, int64_t>> sizes;
  for (const auto& [name, value] : trainable) sizes.emplace_back(name, value.numel());
  const std::vector<int64_t> owners = assign_owners(sizes, ranks);
  // An adapter that can be switched off keeps the tensors of whole modules that it trains for when it is on.
  std::map<std::string, Parameter*> weights;
  for (Parameter* p : adapter.can_switch_off() ? std::vector<Parameter*>() : model.parameters())
    if (p->master_may_leave()) weights[p->name] = p;
  std::vector<SharedParameter> out;
  for (size_t i = 0; i < trainable.size(); ++i) {
    const auto& [name, value] = trainable[i];
    const auto weight = weights.find(name);
    out.push_back({name, owners[i], value, weight == weights.end() ? nullptr : weight->second});
  }
  return out;
}

void StateShard::share_out(Adapter& adapter, Model& model) {
  if (!on_) return;
  shared_ = temper::share_out(adapter, model, ranks_.world());
  place_.clear();
  for (size_t i = 0; i < shared_.size(); ++i) {
    SharedParameter& s = shared_[i];
    place_[s.name] = i;
    if (s.weight == nullptr || s.owner == ranks_.rank()) continue;
    s.weight->leave_master();
    s.value = s.weight->master;
  }
}

const SharedParameter& StateShard::find(const std::string& name) const {
  const auto it = place_.find(name);
  if (it == place_.end()) bug("no rank owns {}", name);
  return shared_[it->second];
}

std::vector<OptimParameter> StateShard::owned(const std::vector<OptimParameter>& parameters) const {
  std::vector<OptimParameter> out = parameters;
  if (on_) std::erase_if(out, [&](const OptimParameter& p) { return find(p.name).owner != ranks_.rank(); });
  return out;
}

// What belongs to no parameter stays, for the optimizer to say so.
std::map<std::string, at::Tensor> StateShard::owned(const std::map<std::string, at::Tensor>& state) const {
  auto out = state;
  std::erase_if(out, [&](const auto& named) {
    const auto it = place_.find(named.first.substr(0, named.first.rfind('/')));
    return it != place_.end() && shared_[it->second].owner != ranks_.rank();
  });
  return out;
}

int64_t StateShard::master_bytes(bool all) const {
  int64_t bytes = 0;
  for (const SharedParameter& s : shared_)
    if (s.weight != nullptr && (all || s.owner == ranks_.rank())) bytes += 4 * s.value.numel();
  return bytes;
}

void StateShard::sum_gradients(const std::vector<OptimParameter>& parameters) {
  at::NoGradGuard guard;
  std::vector<at::Tensor> values;
  for (const OptimParameter& p : parameters) values.push_back(p.value);
  const std::vector<bool> reached = with_gradients_of_any(ranks_, values);
  for (int64_t owner = 0; owner < ranks_.world(); ++owner) {
    std::vector<at::Tensor> gradients;
    std::vector<size_t> of;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!reached[i] || find(parameters[i].name).owner != owner) continue;
      of.push_back(i);
      gradients.push_back(std::exchange(values[i].mutable_grad(), at::Tensor()));
    }
    ranks_.sum_to(owner, gradients);
    for (size_t i = 0; i < of.size(); ++i) values[of[i]].mutable_grad() = gradients[i];
  }
}

double StateShard::norm(const std::vector<OptimParameter>& owned) {
  const double mine = gradient_norm(owned);
  return on_ ? std::sqrt(ranks_.sum(mine * mine)) : mine;
}

void StateShard::publish() {
  if (!on_) return;
  at::NoGradGuard guard;
  for (int64_t owner = 0; owner < ranks_.world(); ++owner) {
    std::vector<at::Tensor> tensors;
    for (const SharedParameter& s : shared_) {
      if (s.owner != owner) continue;
      if (s.weight != nullptr && owner == ranks_.rank()) s.weight->compute.copy_(s.weight->master);
      tensors.push_back(s.everywhere());
    }
    // One type after the other, so that few exchanges carry many.
    std::stable_partition(tensors.begin(), tensors.end(),
                          [](const at::Tensor& t) { return t.scalar_type() == at::kFloat; });
    ranks_.broadcast(owner, tensors);
  }
}

std::map<std::string, double> StateShard::metrics(const Optimizer& optimizer) {
  std::map<std::string, OptimizerMetric> all = optimizer.metrics();
  if (on_) {
    Json json = Json::object();
    for (const auto& [name, m] : all) json[name] = Json::array({m.value, m.weight});
    all.clear();
    for (const std::string& theirs : ranks_.gather(text_of(Json::to_cbor(json)))) {
      const Json read = Json::from_cbor(theirs);
      for (const auto& [name, pair] : read.items()) {
        const OptimizerMetric more = {pair[0].get<double>(), pair[1].get<double>()};
        const auto [it, first] = all.try_emplace(name, more);
        if (!first) it->second = joined(it->second, more);
      }
    }
  }
  std::map<std::string, double> out;
  for (const auto& [name, metric] : all) out[name] = metric.value;
  return out;
}

at::Tensor StateShard::target(const std::string& name, const at::Tensor& trainable) const {
  const Parameter* weight = on_ ? find(name).weight : nullptr;
  return weight != nullptr && weight->master_elsewhere ? weight->compute : trainable;
}

NamedTensors StateShard::everywhere() const {
  NamedTensors out;
  for (const SharedParameter& s : shared_) out.emplace_back(s.name, s.everywhere());
  return out;
}

// Rank 0 has what all have.
GatheredTensors StateShard::gather(const NamedTensors& trainable) {
  std::map<std::string, at::Tensor> mine;
  for (const auto& [name, tensor] : trainable) {
    const bool owners_alone = on_ && find(name).weight != nullptr;
    if (owners_alone ? find(name).owner == ranks_.rank() : ranks_.first()) mine[name] = tensor;
  }
  return gather_all(std::move(mine));
}

GatheredTensors StateShard::gather(const std::map<std::string, at::Tensor>& state) {
  return gather_all(on_ || ranks_.first() ? state : std::map<std::string, at::Tensor>());
}

GatheredTensors StateShard::gather_all(std::map<std::string, at::Tensor> mine) {
  Json json = Json::array();
  for (const auto& [name, tensor] : mine)
    json.push_back(Json::array({name, static_cast<int>(tensor.scalar_type()), tensor.sizes().vec()}));
  const std::string own = text_of(Json::to_cbor(json));
  GatheredTensors out;
  int64_t rank = 0;
  for (const std::string& theirs : on_ ? ranks_.gather(own) : std::vector<std::string>{own}) {
    for (const Json& t : Json::from_cbor(theirs)) {
      out.specs.push_back({t[0].get<std::string>(), static_cast<at::ScalarType>(t[1].get<int>()),
                           t[2].get<std::vector<int64_t>>()});
      out.from.push_back(rank);
    }
    ++rank;
  }
  out.mine = std::move(mine);
  return out;
}

LazyTensors StateShard::on_first(const GatheredTensors& tensors) {
  return {tensors.specs, [this, tensors](size_t i) {
            const TensorSpec& spec = tensors.specs[i];
            if (tensors.from[i] == 0) return tensors.mine.at(spec.name);
            const at::Tensor tensor = at::empty(spec.shape, spec.dtype);
            ranks_.to_first(tensors.from[i], tensor);
            return tensor;
          }};
}

void StateShard::hand_over(const GatheredTensors& tensors) {
  for (const size_t i : safetensors_order(tensors.specs)) {
    const auto mine = tensors.mine.find(tensors.specs[i].name);
    ranks_.to_first(tensors.from[i], mine == tensors.mine.end() ? at::Tensor() : mine->second);
  }
}

}  // namespace temper

#include "model/expert_files.h"

#include <ATen/ATen.h>

#include <map>
#include <optional>

#include "base/error.h"
#include "model/families.h"
#include "model/load.h"

namespace temper {
namespace {

// A matrix of one expert: the parameter of all experts that it is a part of, and where.
struct ExpertPart {
  std::string whole;
  int64_t expert = 0;
  int part = 0;  // of gate_up: 0 the first half of the rows, 1 the second
};

std::optional<ExpertPart> expert_part(const std::string& name) {
  const std::string mark = ".experts.", end = ".weight";
  const size_t at = name.find(mark);
  if (at == std::string::npos || !name.ends_with(end)) return std::nullopt;
  const size_t number = at + mark.size(), dot = name.find('.', number);
  if (dot == std::string::npos || dot == number || dot - number > 6 ||
      name.find_first_not_of("0123456789", number) != dot)
    return std::nullopt;
  ExpertPart out;
  out.expert = std::stoll(name.substr(number, dot - number));
  const std::string matrix = name.substr(dot + 1, name.size() - end.size() - dot - 1);
  const bool up = matrix == "up_proj" || matrix == "w3", down = matrix == "down_proj" || matrix == "w2";
  if (!up && !down && matrix != "gate_proj" && matrix != "w1") return std::nullopt;
  out.part = up ? 1 : 0;
  out.whole = name.substr(0, number) + (down ? "down_proj" : "gate_up_proj");
  return out;
}

std::string replaced(std::string name, const std::string& from, const std::string& to) {
  const size_t at = name.find(from);
  return at == std::string::npos ? name : name.replace(at, from.size(), to);
}

}  // namespace

std::string usual_mlp_name(std::string name) {
  name = replaced(replaced(std::move(name), ".block_sparse_moe.", ".mlp."), ".mlp.router.", ".mlp.gate.");
  // Those of Gemma 4 stand beside the MLP.
  name = replaced(replaced(std::move(name), ".router.proj.", ".mlp.gate."), ".router.", ".mlp.gate.");
  return name.find(".mlp.experts.") == std::string::npos
             ? replaced(std::move(name), ".experts.", ".mlp.experts.")
             : name;
}

at::Tensor dequantise_mxfp4(const at::Tensor& blocks, const at::Tensor& scales) {
  static const float kValues[] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                  -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
  const at::Tensor values = at::tensor(at::ArrayRef<float>(kValues, 16));
  const at::Tensor bytes = blocks.to(at::kLong);
  const at::Tensor both =
      at::stack({bytes.bitwise_and(15), bytes.__rshift__(4)}, -1).flatten(-2);  // [.., G, 32]
  const at::Tensor numbers = values.index_select(0, both.flatten()).view(both.sizes());
  return at::ldexp(numbers, scales.to(at::kInt).sub(127).unsqueeze(-1)).flatten(-2);
}

// An incomplete set is left as it is.
void ModelFiles::join_experts() {
  join_apart();
  join_turned();
}

void ModelFiles::add_joined(const std::string& name, Joined joined) {
  std::erase_if(names_, [&](const std::string& n) {
    return n == name || std::find(joined.parts.begin(), joined.parts.end(), n) != joined.parts.end();
  });
  names_.push_back(name);
  joined_[name] = std::move(joined);
}

// Experts whose matrices stand by themselves.
void ModelFiles::join_apart() {
  std::map<std::string, std::map<std::pair<int64_t, int>, std::string>> parts;
  for (const std::string& name : names_) {
    if (const auto part = expert_part(name)) parts[part->whole][{part->expert, part->part}] = name;
  }
  for (const auto& [whole, matrices] : parts) {
    const int64_t each = whole.ends_with("gate_up_proj") ? 2 : 1;
    const int64_t experts = matrices.rbegin()->first.first + 1;
    Joined joined;
    joined.info = *find(matrices.begin()->second);
    const std::vector<int64_t> shape = joined.info.shape;
    bool alike = shape.size() == 2;
    for (int64_t e = 0; e < experts; ++e) {
      for (int p = 0; p < each; ++p) {
        const auto it = matrices.find({e, p});
        if (it == matrices.end()) {
          const char* matrix = each == 1 ? "down" : p == 0 ? "gate" : "up";
          lacking_[whole] = fmt::format("the matrix {} of expert {} is not there", matrix, e);
          alike = false;
          continue;
        }
        const TensorInfo& info = *find(it->second);
        if (info.shape != shape || info.dtype != joined.info.dtype) {
          lacking_[whole] = it->second + " has another shape or type than those beside it";
          alike = false;
        }
        joined.parts.push_back(it->second);
      }
    }
    if (!alike) continue;
    joined.info.shape = {experts, each * shape[0], shape[1]};
    add_joined(whole, std::move(joined));
  }
}

// gpt-oss's experts, which have biases: with their inputs first, or in MXFP4.
void ModelFiles::join_turned() {
  const std::string bias = "_bias";
  std::vector<std::string> wholes;
  for (const std::string& name : names_) {
    if (name.ends_with(std::string(kExpertsGateUp) + bias) ||
        name.ends_with(std::string(kExpertsDown) + bias))
      wholes.push_back(name.substr(0, name.size() - bias.size()));
  }
  for (const std::string& whole : wholes) {
    Joined joined;
    if (const TensorInfo* dense = find(whole); dense != nullptr && dense->shape.size() == 3) {
      joined = {*dense, {whole}, Joined::kTurned};
      std::swap(joined.info.shape[1], joined.info.shape[2]);
      add_joined(whole, std::move(joined));
      continue;
    }
    const TensorInfo *blocks = find(whole + "_blocks"), *scales = find(whole + "_scales");
    if (blocks == nullptr && scales == nullptr) continue;
    const auto lacks = [&](const std::string& what) { lacking_[whole] = what; };
    if (blocks == nullptr || scales == nullptr) {
      lacks(whole + (blocks == nullptr ? "_blocks" : "_scales") + " is not there");
      continue;
    }
    const auto &b = blocks->shape, &s = scales->shape;
    if (b.size() != 4 || b[3] != 16 || s != std::vector<int64_t>(b.begin(), b.end() - 1) ||
        blocks->dtype != at::kByte || scales->dtype != at::kByte) {
      lacks(whole + "_blocks and _scales are not MXFP4's: expected bytes [E, rows, G, 16] and [E, rows, G]");
      continue;
    }
    joined.info = *blocks;
    joined.info.shape = {b[0], b[1], 32 * b[2]};
    joined.info.dtype = at::kBFloat16;
    joined.parts = {whole + "_blocks", whole + "_scales"};
    joined.how = Joined::kMxfp4;
    add_joined(whole, std::move(joined));
  }
}

std::string ModelFiles::lacking(const std::string& name) const {
  const auto it = lacking_.find(name);
  return it == lacking_.end() ? "" : it->second;
}

const TensorInfo* ModelFiles::find(const std::string& name) const {
  const auto it = joined_.find(name);
  return it != joined_.end() ? &it->second.info : files_.find(stored(name));
}

at::Tensor ModelFiles::tensor(const std::string& name) const {
  const auto it = joined_.find(name);
  if (it == joined_.end()) return files_.tensor(stored(name));
  const Joined& j = it->second;
  const auto part = [&](size_t i) { return files_.tensor(stored(j.parts[i])); };
  if (j.how == Joined::kTurned) return part(0).transpose(1, 2).contiguous();
  if (j.how == Joined::kMxfp4) return dequantise_mxfp4(part(0), part(1)).to(at::kBFloat16);  // exact
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < j.parts.size(); ++i) parts.push_back(part(i));
  return at::cat(parts).view(j.info.shape);
}

void ModelFiles::release(const std::string& name) const {
  const auto it = joined_.find(name);
  if (it == joined_.end()) return files_.release(stored(name));
  for (const std::string& part : it->second.parts) files_.release(stored(part));
}

NamedTensors stored_parts(const ModelConfig& config, const std::string& name, const at::Tensor& value) {
  const Family::ExpertFiles* files = family_of(config).expert_files;
  if (files == nullptr) return {{name, value}};
  if (const size_t at = name.find(std::string(".") + kRouter + "."); at != std::string::npos) {
    // Scales of Gemma 4's router stand beside its matrix "router.proj".
    std::string router = files->router;
    if (name.ends_with(kRouterScale) || name.ends_with(kExpertScale)) router.erase(router.rfind('.'));
    return {{replaced(name, std::string(kRouter) + ".", router + "."), value}};
  }
  const bool up = name.ends_with(kExpertsGateUp), down = name.ends_with(kExpertsDown);
  if (!up && !down) return {{name, value}};
  const std::string layer =
      name.substr(0, name.size() - std::string(up ? kExpertsGateUp : kExpertsDown).size());
  if (files->gate == nullptr)
    return {{layer + files->prefix + (up ? "gate_up_proj" : "down_proj"),
             files->inputs_first ? value.transpose(1, 2) : value}};
  NamedTensors out;
  for (int64_t e = 0; e < value.size(0); ++e) {
    const std::string expert = fmt::format("{}{}{}.", layer, files->prefix, e);
    const int64_t half = value.size(1) / 2;
    if (down) {
      out.emplace_back(expert + files->down + ".weight", value[e]);
      continue;
    }
    out.emplace_back(expert + files->gate + ".weight", value[e].narrow(0, 0, half));
    out.emplace_back(expert + files->up + ".weight", value[e].narrow(0, half, half));
  }
  return out;
}

}  // namespace temper

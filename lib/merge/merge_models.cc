// A merge from folders to a folder.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cmath>

#include "adapter/adapter_set.h"
#include "adapter/merge.h"
#include "base/error.h"
#include "base/file.h"
#include "base/output.h"
#include "merge/recipe.h"
#include "merge/statistics.h"
#include "model/convert.h"
#include "model/load.h"
#include "text/tokenizer.h"

namespace temper {
namespace {

bool is_adapter(const std::string& folder) {
  return fs::exists(folder + "/adapter_config.json") && !fs::exists(folder + "/config.json");
}

// Throws UserError where two tokenizers give an id to different pieces. A folder without one goes by its
// config.
void check_tokenizers(const std::string& folder, const std::string& other) {
  if (!has_tokenizer(folder) || !has_tokenizer(other)) return;
  const auto ours = Tokenizer::load(folder), theirs = Tokenizer::load(other);
  for (int64_t id = 0; id < std::min(ours->vocab_size(), theirs->vocab_size()); ++id) {
    if (ours->piece(id) != theirs->piece(id))
      user_error(
          "{} and {}: the tokenizers differ: token {} is \"{}\" and \"{}\"; models can be merged that have "
          "one vocabulary",
          folder, other, id, ours->piece(id), theirs->piece(id));
  }
  if (ours->vocab_size() != theirs->vocab_size())
    user_error(
        "{} and {}: the tokenizers differ: {} and {} tokens; models can be merged that have one vocabulary",
        folder, other, ours->vocab_size(), theirs->vocab_size());
}

// Throws UserError unless both hold the same parameters.
void check_shapes(const std::string& folder, const NamedShapes& shapes, const std::string& other) {
  const NamedShapes theirs = parameter_shapes(complete_model_config(other));
  for (size_t i = 0; i < std::max(shapes.size(), theirs.size()); ++i) {
    if (i < shapes.size() && i < theirs.size() && shapes[i] == theirs[i]) continue;
    const auto shown = [&](const NamedShapes& of) {
      return i < of.size() ? fmt::format("{} [{}]", of[i].first, fmt::join(of[i].second, ", "))
                           : std::string("nothing");
    };
    user_error("{} and {}: the models are not of one shape: one has {}, the other {}", folder, other,
               shown(shapes), shown(theirs));
  }
}

// The folders that are read: adapters are merged into the base first.
struct Folders {
  std::string base, files;
  std::vector<std::string> models;
  std::vector<std::unique_ptr<TemporaryFolder>> made;
};

Folders folders_of(const MergeRecipe& recipe, const std::string& to) {
  Folders out{.base = recipe.base, .files = recipe.kept()};
  for (const MergeModel& model : recipe.models) {
    if (!fs::is_directory(model.path))
      user_error("{}: expected a model folder, found {}{}", model.path,
                 fs::exists(model.path) ? "a file" : "nothing",
                 fs::exists(model.path) ? "; temper-convert makes a folder of GGUF" : "");
    if (!is_adapter(model.path)) {
      out.models.push_back(model.path);
      continue;
    }
    if (recipe.base.empty())
      user_error("{}: an adapter, which needs the base that it is for, and none is given", model.path);
    out.made.push_back(std::make_unique<TemporaryFolder>(to));
    merge_folder(recipe.base, model.path, out.made.back()->path(), at::kFloat);
    out.models.push_back(out.made.back()->path());
    if (out.files == model.path) out.files = out.models.back();
  }
  return out;
}

// |W - R| and |R|, R the reference.
std::pair<double, double> change(const at::Tensor& merged, const StoredTensor& reference) {
  double difference = 0, size = 0;
  const at::Tensor row = merged.view({-1});
  in_pieces(row.numel(), [&](int64_t begin, int64_t end) {
    const at::Tensor r = reference.piece(begin, end).to(at::kDouble);
    difference += (row.narrow(0, begin, end - begin).to(at::kDouble) - r).square().sum().item<double>();
    size += r.square().sum().item<double>();
  });
  return {std::sqrt(difference), std::sqrt(size)};
}

double share(double part, double whole) {
  return whole > 0 ? part / whole : part > 0 ? HUGE_VAL : 0;
}

}  // namespace

Json merge_models(const MergeRecipe& recipe, const std::string& to, std::optional<at::ScalarType> dtype,
                  const std::function<void(size_t, size_t)>& done) {
  const MergeNeeds needs = recipe.options->needs();
  const Folders folders = folders_of(recipe, to);
  const ModelConfig config = complete_model_config(folders.files);
  const NamedShapes shapes = parameter_shapes(config);
  std::vector<std::string> others = folders.models;
  if (!folders.base.empty()) others.push_back(folders.base);
  for (const std::string& other : others) {
    if (other == folders.files) continue;
    if (const auto family = read_model_config(other).family; family != config.family)
      user_error("{} and {}: the models are of two families: {} and {}", folders.files, other, config.family,
                 family);
    check_shapes(folders.files, shapes, other);
    check_tokenizers(folders.files, other);
  }

  const ModelFiles kept(folders.files, config.tied);
  std::vector<std::unique_ptr<ModelFiles>> files;
  for (const std::string& folder : folders.models)
    files.push_back(std::make_unique<ModelFiles>(folder, config.tied));
  std::unique_ptr<ModelFiles> base;
  if (!folders.base.empty()) base = std::make_unique<ModelFiles>(folders.base, config.tied);
  std::vector<std::unique_ptr<SafetensorsFile>> statistics;
  for (const MergeModel& model : recipe.models) {
    if (!needs.statistics.empty()) statistics.push_back(open_statistics(model.statistics, needs.statistics));
  }

  MergeInput input{.base = folders.base, .models = folders.models};
  std::vector<TensorSpec> specs;
  for (const auto& [name, shape] : shapes) {
    MergeTensor tensor{.name = name, .dtype = dtype.value_or(kept.find(name)->dtype)};
    for (size_t i = 0; i < files.size(); ++i) {
      tensor.models.emplace_back(*files[i], name);
      tensor.weights.push_back(recipe.models[i].weight);
      if (!statistics.empty()) tensor.statistics.push_back(statistics[i].get());
    }
    if (base) tensor.base.emplace(*base, name);
    specs.push_back({name, tensor.dtype, shape});
    input.tensors.push_back(std::move(tensor));
  }

  const auto method = recipe.options->make();
  method->prepare(input);
  Json figures = Json::object();
  double changed = 0, all = 0;
  size_t count = 0;
  save_pretrained(to, config_with_dtype(folders.files, dtype), generation_json(config), specs, [&](size_t i) {
    const MergeTensor& tensor = input.tensors[i];
    Json row = Json::object();
    at::Tensor merged = method->merge(tensor, row);
    const auto [difference, size] = change(merged, tensor.base ? *tensor.base : tensor.models[0]);
    if (!std::isfinite(difference) || !std::isfinite(size))
      user_error(
          "{}: the merged tensor has values that are not finite; one of the models has, or a factor is far "
          "too large",
          tensor.name);
    changed += difference * difference;
    all += size * size;
    figures[tensor.name] = {{"change", share(difference, size)}};
    figures[tensor.name].update(row);
    if (done) done(++count, specs.size());
    return merged;
  });
  copy_side_files(folders.files, to);

  Json report = {{"recipe", dump_fields(recipe)}, {"change", share(std::sqrt(changed), std::sqrt(all))}};
  report.update(method->summary());
  report["tensors"] = std::move(figures);
  write_file_atomic(to + "/merge.json", report.dump(2) + "\n");
  return report;
}

}  // namespace temper

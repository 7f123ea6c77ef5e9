#include "adapter/merge.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "adapter/adapter_set.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/convert.h"
#include "model/generation.h"
#include "model/load.h"

namespace temper {

namespace {

// Largest change of what the model says of `probe` by `change`.
double change_of_answers(Model& model, const std::vector<int64_t>& probe,
                         const std::function<void()>& change) {
  const at::NoGradGuard no_grad;
  Packer packer;
  packer.add_targets(packer.add_segment(probe), 0, static_cast<int64_t>(probe.size()), 0);
  const auto device = model.precision().device;
  const PackedTokens tokens = packer.tokens_on(device);
  const Targets targets = packer.targets_on(device, 1);
  const auto answers = [&] {
    return model.config().causal ? model_logp(model, tokens, targets).logp
                                 : model_scores(model, model.hidden(tokens), targets.source);
  };
  const at::Tensor before = answers();
  change();
  const at::Tensor after = answers();
  return before.numel() == 0 ? 0.0 : (after - before).abs().max().item<double>();
}

constexpr const char* kTokenizerFiles[] = {"tokenizer.json",
                                           "tokenizer.model",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "chat_template.jinja"};

double changed_folder(const std::string& base, const std::string& adapter, const std::string& to,
                      std::optional<at::ScalarType> dtype,
                      double (*change)(Model&, Adapter&, const std::vector<int64_t>&)) {
  const auto model = Model::load(base, Precision{}, adapter_heads(adapter));
  const ModelConfig before = model->config();
  const auto loaded = load_adapter(*model, adapter);
  std::vector<int64_t> probe;
  for (int64_t i = 0; i < 64; ++i) probe.push_back((i * 7919 + 3) % model->config().vocab);
  const double largest = change(*model, *loaded, probe);
  if (change == unmerge_adapter) loaded->set_enabled(false);  // the base alone is written
  const ModelFiles files(base, model->config().tied);
  const auto parameters = model->stored();
  const at::ScalarType embeddings = files.find("model.embed_tokens.weight")->dtype;
  std::vector<TensorSpec> specs;
  std::vector<at::Tensor> values;  // of the parameters as the family's files have them: views
  for (const Parameter* p : parameters) {
    const TensorInfo* stored = files.find(p->name);  // a score head comes with the adapter, an untied one too
    const auto own = stored != nullptr ? stored->dtype : embeddings;
    for (const auto& [name, part] : stored_parts(model->config(), p->name, p->master.detach())) {
      specs.push_back({name, is_fp32_constant(name) ? own : dtype.value_or(own), part.sizes().vec()});
      values.push_back(part);
    }
  }
  Json config = config_with_dtype(base, dtype);
  // An adapter of the embedding or the head alone unties them, and one may bring tokens of its own.
  if (before.tied != model->config().tied) config["tie_word_embeddings"] = false;
  if (before.vocab != model->config().vocab) config["vocab_size"] = model->config().vocab;
  config.erase("quantization_config");  // what is written is dense
  const Json heads = model->config().to_json();
  if (config.contains("text_config")) {  // of several parts the text's alone is written
    config = heads;
    config["dtype"] = c10::getDtypeNames(dtype.value_or(embeddings)).first;
    config["torch_dtype"] = config["dtype"];
  }
  for (const char* key : {"architectures", "id2label", "label2id", "vocab_size_per_layer_input"}) {
    if (heads.contains(key)) config[key] = heads[key];
  }
  save_pretrained(to, config, generation_json(model->config()), specs, [&](size_t i) { return values[i]; });
  copy_side_files(base, to);
  // The adapter's own tokenizer, which has the tokens that were added for it.
  if (has_tokenizer(adapter)) {
    for (const char* name : kTokenizerFiles) {
      if (!fs::exists(adapter + "/" + name)) continue;
      std::error_code error;
      fs::copy_file(adapter + "/" + name, to + "/" + name, fs::copy_options::overwrite_existing, error);
      if (error) user_error("{}/{}: cannot copy to {}: {}", adapter, name, to, error.message());
    }
  }
  return largest;
}

}  // namespace

void Adapter::unmerge() {
  user_error("an adapter of this kind cannot be taken out of merged weights");
}

double merge_adapter(Model& model, Adapter& adapter, const std::vector<int64_t>& probe) {
  return change_of_answers(model, probe, [&] { adapter.merge(); });
}

double unmerge_adapter(Model& model, Adapter& adapter, const std::vector<int64_t>& probe) {
  adapter.set_enabled(false);
  return change_of_answers(model, probe, [&] {
    adapter.unmerge();
    adapter.refresh();
    adapter.set_enabled(true);
  });
}

double merge_folder(const std::string& base, const std::string& adapter, const std::string& to,
                    std::optional<at::ScalarType> dtype) {
  const double largest = changed_folder(base, adapter, to, dtype, merge_adapter);
  if (const auto ids = stored_end_ids(adapter); !ids.empty())
    write_end_ids(to, "", join_ids(ids, stored_end_ids(to)));
  return largest;
}

double unmerge_folder(const std::string& merged, const std::string& adapter, const std::string& to,
                      std::optional<at::ScalarType> dtype) {
  return changed_folder(merged, adapter, to, dtype, unmerge_adapter);
}

}  // namespace temper

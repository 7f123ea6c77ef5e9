// LoRA (Hu et al. 2021, arXiv:2106.09685) and what differs from it by a start, a scale or a factor: rsLoRA
// (Kalajdzievski 2023, arXiv:2312.03732), DoRA (Liu et al. 2024, arXiv:2402.09353), PiSSA, OLoRA and CorDA
// (init.h), LoRA+ (Hayou et al. 2024, arXiv:2402.12354), LoRA-FA (Zhang et al. 2023, arXiv:2308.03303).
// Files are PEFT's. Departure: what the head reads is not dropped in training (what the embedding reads is
// not in PEFT either).
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/base_values.h"
#include "adapter/computed_weight.h"
#include "adapter/lora/init.h"
#include "adapter/lora/product.h"
#include "adapter/saved_modules.h"
#include "base/json.h"

namespace temper {

struct LoraOptions : AdapterOptions {
  int64_t rank = 16;
  double alpha = 32.0;
  bool rslora = false, dora = false;
  double dropout = 0.0;
  std::string init = "kaiming";  // gaussian, pissa, olora, corda
  int64_t svd_iterations = 0;    // pissa; 0: exact
  std::string corda_mode = "ipm";
  std::vector<std::string> corda_data;  // files of its samples; none: the run's data
  int64_t corda_samples = 256;
  double lr_ratio = 1.0;  // LoRA+
  bool freeze_a = false;  // LoRA-FA
  Json targets = "all-linear";
  std::vector<std::string> target_parameters;
  Json rank_pattern = Json::object(), alpha_pattern = Json::object();
  std::vector<std::string> modules_to_save;

  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool takes_quantised_base() const override { return true; }
  void train_whole(const std::vector<std::string>& modules) override;
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

// What is adapted; lora/targets.h says how options choose it.
struct LoraTargets {
  std::vector<std::string> modules;     // paths of linears, embedding, head
  std::vector<std::string> parameters;  // names: of a mixture's weights, and of linears' that go by these
};

// One adapted linear: W + s (B A - B0 A0), with DoRA's rows then scaled to a length of their own. The
// embedding and the head are such too, [V, H]; PEFT keeps the transposes for the embedding (lora_embedding_A
// is B^T, lora_embedding_B is A^T), and DoRA scales its columns. So is a mixture's router, and the weights of
// its experts, [E, out, in], have an update each.
struct LoraModule {
  std::string path;                       // of its tensors in a folder
  std::string target;                     // the path or parameter that options choose it by
  Parameter* parameter = nullptr;         // W
  int64_t experts = 0;                    // 0: not of experts
  std::shared_ptr<ComputedWeight> whole;  // of embedding and head, whose updates are no product beside it
  bool embedding = false;
  int64_t rank = 0;
  double scale = 1.0;
  at::Tensor a, b;            // [r, in], [out, r]: fp32 masters that take gradients; of experts see product.h
  at::Tensor a_work, b_work;  // in the compute dtype, the scale folded into b_work but of experts'
  // What a start took out of W (init.h): frozen; undefined where A and B begin at B A = 0. W itself
  // stays whole, so that "off" is the base model, exactly.
  at::Tensor a0, b0, b0_work;
  // DoRA: m [out], which trains; |W + s B A| by row [out], a constant of the step; |W|^2 by row. Of the
  // embedding by column [in].
  at::Tensor magnitude, length, squares;
};

// Modules whose products are one: their A below each other, so that x is multiplied once.
struct LoraGroup {
  std::vector<int64_t> modules;  // places in the adapter's list
  at::Tensor a_work;             // [sum of ranks, in]; the modules' own a_work are its rows
  std::vector<LoraPart> parts;
  std::vector<int64_t> columns;  // of each module, where its outputs begin
  int64_t outs = 0;              // columns of the product
};

// What a folder has for the base itself.
struct FolderBase {
  BaseValues values;            // that hold while the adapter is on
  std::set<std::string> known;  // modules whose base weights are in the folder, and now in the model
  bool changed = false;         // they are not those that the model had
};

class LoraAdapter : public Adapter, public LinearDelta {
 public:
  // Freezes the model, makes A and B for the targets (corda: in start()), and attaches. The update of a tied
  // embedding is the head's too: untie_head() comes first where each is adapted alone. Throws UserError.
  LoraAdapter(Model& model, const LoraOptions& options, const LoraTargets& targets, uint64_t seed,
              const std::string& where);
  ~LoraAdapter() override;
  void take_base(FolderBase base) { base_ = std::move(base); }  // after loading

  std::vector<std::pair<std::string, at::Tensor>> trainable() override;
  void refresh() override;
  std::vector<at::Tensor> gradient_carriers() const override;
  void end_backward() override;
  void start(const AdapterStart& from) override;
  AdapterState state() override;
  void load_state(const AdapterState& state, int64_t updates, const std::string& where) override;
  double lr_factor(const std::string& name) const override;
  bool can_switch_off() const override { return true; }
  void set_enabled(bool enabled) override;
  void set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) override;
  void save(const std::string& folder, at::ScalarType dtype) override;
  void merge() override;
  void unmerge() override;

  at::Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs, const at::Tensor& x,
                   const at::Tensor& y, bool training) override;
  bool trains(int64_t module) const override;
  at::Tensor apply_mixture(const Parameter* weight, const ExpertRows* rows, const at::Tensor& x,
                           const at::Tensor& y) override;
  bool trains_mixture(const Parameter* weight) const override;

  // What the folder holds, under PEFT's keys: the masters themselves, but where a start took a part out of W
  // the plain LoRA of twice the rank that equals both, as PEFT converts it.
  std::vector<std::pair<std::string, at::Tensor>> folder_tensors() const;
  // W with the adapter in it, fp32, in its shape.
  at::Tensor merged_weight(const LoraModule& module) const;
  const std::vector<LoraModule>& modules() const { return modules_; }
  bool alone() const;  // on weights of blocks, no whole matrices beside them

 private:
  const LoraGroup& group(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs);
  LoraModule module_of(const std::string& path, const std::string& target, uint64_t seed,
                       const std::string& where);
  void check_mixture(const LoraModule& module, const std::string& where) const;
  at::Tensor weight(const LoraModule& module) const;                     // W, fp32
  at::Tensor with_update(const LoraModule& module, double scale) const;  // W + scale B A, fp32
  at::Tensor product(const LoraModule& module) const;                    // W + s B A, fp32
  at::Tensor factors(const LoraModule& module) const;        // DoRA's, [out, 1], of the embedding [1, in]
  LoraFactors whole_update(const LoraModule& module) const;  // [A; A0], [B, -B0]
  void take(LoraModule& module, const LoraFactors& factors, bool from_weight);
  at::Tensor with_magnitudes(const LoraGroup& group, const at::Tensor& product) const;
  Model& model_;
  LoraOptions options_;
  SavedModules saved_;
  FolderBase base_;
  std::vector<LoraModule> modules_;
  std::vector<int64_t> place_;                   // by LinearDelta's module id: place in modules_, or -1
  std::map<const Parameter*, int64_t> mixture_;  // places in modules_ of a mixture's weights
  std::map<int64_t, LoraGroup> groups_;          // by the id of their first linear; made when first met
  uint64_t seed_ = 0, step_ = 0, micro_batch_ = 0;
};

// PEFT's adapter_config.json of a LoRA.
Json lora_config_json(const LoraOptions& options, const std::string& base_model, bool ensure_tied,
                      bool causal);
// Reads one; throws UserError on features that change what is computed and are not there.
LoraOptions lora_options_from(const Json& config, const std::string& where);
std::unique_ptr<Adapter> load_lora(Model& model, const std::string& folder, const Json& config);

}  // namespace temper

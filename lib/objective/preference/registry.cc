#include "objective/extend.h"
#include "objective/preference/kinds.h"

namespace temper::objective {

const Registry<PreferenceLossOptions>& preference_loss_registry() {
  static const Registry<PreferenceLossOptions> registry = [] {
    Registry<PreferenceLossOptions> r("preference loss");
    r.add({"dpo", "logistic loss of the margin to the reference; with label_smoothing cDPO",
           "Rafailov et al., arXiv 2305.18290", dpo});
    r.add({"robust", "DPO unbiased under a known share of flipped labels",
           "Chowdhury et al., arXiv 2403.00409", robust});
    r.add({"hinge", "hinge loss of the margin (SLiC)", "Zhao et al., arXiv 2305.10425", hinge});
    r.add({"ipo", "squared distance of the margin from its goal", "Azar et al., arXiv 2310.12036", ipo});
    r.add(
        {"exo_pair", "reverse KL between two-point distributions", "Ji et al., arXiv 2402.00856", exo_pair});
    r.add({"discopop", "blend of logistic and exponential loss, found by search",
           "Lu et al., arXiv 2406.08414", discopop});
    r.add({"sigmoid_norm", "DPO on log-ratios per token", "TRL 1.16", sigmoid_norm});
    r.add({"nca_pair", "noise contrastive alignment on pairs", "Chen et al., arXiv 2402.05369", nca_pair});
    r.add(
        {"bco_pair", "binary classifier of chosen and rejected", "Jung et al., arXiv 2404.04656", bco_pair});
    r.add(
        {"sppo_hard", "self-play: each log-ratio to its own goal", "Wu et al., arXiv 2405.00675", sppo_hard});
    r.add({"apo_zero", "anchored: chosen up, rejected down", "D'Oosterlinck et al., arXiv 2408.06266",
           apo_zero});
    r.add({"apo_down", "anchored: both down, rejected more", "D'Oosterlinck et al., arXiv 2408.06266",
           apo_down});
    r.add({"aot", "optimal transport between margins of policy and reference",
           "Melnyk et al., arXiv 2406.05882", aot});
    r.add({"aot_unpaired", "optimal transport between chosen and rejected", "Melnyk et al., arXiv 2406.05882",
           aot_unpaired});
    r.add({"simpo", "mean log-probs with a margin, no reference", "Meng et al., arXiv 2405.14734", simpo});
    r.add({"cpo", "log-probs without a reference, with NLL", "Xu et al., arXiv 2401.08417", cpo});
    r.add({"orpo", "odds ratio without a reference, with NLL", "Hong et al., arXiv 2403.07691", orpo});
    r.add(
        {"kto", "prospect-theoretic loss on labelled responses", "Ethayarajh et al., arXiv 2402.01306", kto});
    r.add({"apo_zero_unpaired", "anchored loss on labelled responses",
           "D'Oosterlinck et al., arXiv 2408.06266", apo_zero_unpaired});
    r.add({"bco", "binary classifier of labelled responses", "Jung et al., arXiv 2404.04656", bco});
    r.add({"brio", "rated candidates in order of their length-normalised log-probs",
           "Liu et al., arXiv 2203.16804", brio});
    r.add({"sami", "mutual information of constitutions and responses, no labels",
           "Franken et al., arXiv 2404.14313", sami});
    r.add({"ofs_dpo", "DPO of a fast and a slow adapter that chase each other", "Qi et al., arXiv 2406.05534",
           ofs_dpo});
    extend(r);
    return r;
  }();
  return registry;
}

namespace {

std::unique_ptr<PreferenceAlgorithm> of_loss(const std::string& name) {
  auto algorithm = std::make_unique<PreferenceAlgorithm>();
  algorithm->name = name;
  algorithm->loss = preference_loss_registry().find(name)->make();
  // Their papers' objectives have the NLL of the chosen response in them.
  if (name == "cpo" || name == "orpo") algorithm->sft_weight = 1.0;
  // The authors' configs: 0.1 MLE and 10 ranking.
  if (name == "brio") {
    algorithm->weight = 10.0;
    algorithm->sft_weight = 0.1;
  }
  return algorithm;
}

// MPO (arXiv 2411.10442): 0.8 DPO + 0.2 BCO + SFT.
std::unique_ptr<PreferenceAlgorithm> mpo() {
  auto algorithm = of_loss("dpo");
  algorithm->name = "mpo";
  algorithm->weight = 0.8;
  PreferenceTerm quality;
  quality.name = "bco_pair";
  quality.weight = 0.2;
  quality.loss = bco_pair();
  algorithm->also.push_back(std::move(quality));
  algorithm->sft_weight = 1.0;
  return algorithm;
}

}  // namespace

const Registry<PreferenceAlgorithm>& preference_registry() {
  static const Registry<PreferenceAlgorithm> registry = [] {
    Registry<PreferenceAlgorithm> r("preference algorithm");
    for (const auto& loss : preference_loss_registry().entries()) {
      r.add({loss.name, loss.summary, loss.source, [name = loss.name] { return of_loss(name); }});
    }
    r.add({"mpo", "mixed: 0.8 DPO, 0.2 BCO, 1 SFT", "Wang et al., arXiv 2411.10442", mpo});
    return r;
  }();
  return registry;
}

}  // namespace temper::objective

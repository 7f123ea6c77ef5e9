#include "data/select/pairs.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace temper {
namespace {

// Chosen and rejected, as places in a prompt's answers.
using Places = std::vector<std::pair<size_t, size_t>>;

// A prompt's answers as the rules see them.
struct PairCandidates {
  const std::vector<Record>& answers;
  std::vector<double> reward;
  std::vector<double> logp;  // mean over the tokens; of the rules that read it

  bool differ(size_t a, size_t b) const {
    return answers[a].json["completion"] != answers[b].json["completion"];
  }
};

double mean_logp(const Record& answer, const std::string& rule) {
  const Json list = answer.json.value("logprobs", Json());
  if (!list.is_array() || list.empty()) {
    user_error(
        "{}: select.pairs {} compares answers by their \"logprobs\", of which one has none; temper-generate "
        "--score writes them",
        answer.where(), rule);
  }
  double sum = 0;
  for (const Json& logp : list) {
    if (!logp.is_number())
      user_error("{}: logprobs: expected numbers, found {}", answer.where(), logp.type_name());
    sum += logp.get<double>();
  }
  return sum / static_cast<double>(list.size());
}

// Places in the order of `key`, largest first; equals stay.
template <class Key>
std::vector<size_t> largest_first(size_t count, Key key) {
  std::vector<size_t> out(count);
  std::iota(out.begin(), out.end(), size_t{0});
  std::stable_sort(out.begin(), out.end(), [&](size_t a, size_t b) { return key(a) > key(b); });
  return out;
}

template <class Key>
Places largest_first(const Places& pairs, Key key) {
  Places out;
  for (const size_t i : largest_first(pairs.size(), [&](size_t i) { return key(pairs[i]); }))
    out.push_back(pairs[i]);
  return out;
}

Places best_with_worst(const PairCandidates& c) {
  const auto best = largest_first(c.reward.size(), [&](size_t i) { return c.reward[i]; });
  const auto worst = largest_first(c.reward.size(), [&](size_t i) { return -c.reward[i]; });
  Places out;
  for (size_t k = 0; k < best.size(); ++k) out.emplace_back(best[k], worst[k]);
  return out;
}

Places right_with_wrong(const PairCandidates& c, double threshold) {
  std::vector<size_t> right, wrong;
  for (size_t i = 0; i < c.reward.size(); ++i) (c.reward[i] >= threshold ? right : wrong).push_back(i);
  Places out;
  if (right.empty() || wrong.empty()) return out;
  for (size_t k = 0; k < std::max(right.size(), wrong.size()); ++k)
    out.emplace_back(right[k % right.size()], wrong[k % wrong.size()]);
  return out;
}

Places every_pair(const PairCandidates& c) {
  Places out;
  for (size_t a = 0; a < c.reward.size(); ++a) {
    for (size_t b = 0; b < c.reward.size(); ++b) {
      if (c.reward[a] > c.reward[b]) out.emplace_back(a, b);
    }
  }
  return out;
}

// All pairs of the rule, the first ones first.
Places ordered_places(const PairRule& o, const PairCandidates& c, const SelectContext& context,
                      size_t group) {
  if (o.rule == "best_worst") return best_with_worst(c);
  if (o.rule == "threshold") return right_with_wrong(c, o.threshold);
  Places all = every_pair(c);
  if (o.rule == "max_margin")
    return largest_first(all, [&](const auto& p) { return c.reward[p.first] - c.reward[p.second]; });
  if (o.rule == "least_surprise")
    return largest_first(all, [&](const auto& p) { return c.logp[p.first] - c.logp[p.second]; });
  if (o.rule == "likely_negatives") {
    const auto best =
        static_cast<size_t>(std::max_element(c.reward.begin(), c.reward.end()) - c.reward.begin());
    std::erase_if(all, [&](const auto& p) { return p.first != best; });
    return largest_first(all, [&](const auto& p) { return c.logp[p.second]; });
  }
  if (o.rule == "random") {
    Places out;
    RandomStream random(context.seed, "select pairs", static_cast<uint64_t>(context.round), group);
    for (const int64_t i : random.permutation(static_cast<int64_t>(all.size()))) out.push_back(all[i]);
    return out;
  }
  return all;
}

Record pair_of_answers(const Record& chosen, const Record& rejected) {
  Record out{prompt_columns(chosen.json), chosen.file, chosen.line, chosen.prefix};
  out.json["chosen"] = chosen.json["completion"];
  out.json["rejected"] = rejected.json["completion"];
  out.json["score_chosen"] = *answer_reward(chosen);
  out.json["score_rejected"] = *answer_reward(rejected);
  Json unfinished = Json::array();
  if (is_unfinished(chosen, "completion")) unfinished.push_back("chosen");
  if (is_unfinished(rejected, "completion")) unfinished.push_back("rejected");
  if (!unfinished.empty()) out.json["unfinished"] = std::move(unfinished);
  return out;
}

}  // namespace

void PairRule::fields(FieldVisitor& v) {
  v.field(
      "rule", rule,
      {.help =
           "which pairs of a prompt's answers. best_worst: the highest reward with the lowest, the second "
           "with the second lowest ... max_margin: the largest differences of rewards. random, all: of "
           "those with different rewards. threshold: an answer of at least \"threshold\" with one below "
           "it. least_surprise: those whose mean log-probs agree most with their rewards. "
           "likely_negatives: the best answer with the likeliest others",
       .choices = {"best_worst", "max_margin", "random", "all", "threshold", "least_surprise",
                   "likely_negatives"}});
  if (rule != "all")
    v.field("per_prompt", per_prompt, {.help = "most pairs of a prompt; 0: no limit", .min = 0});
  if (rule == "threshold")
    v.field("threshold", threshold, {.help = "smallest reward of an answer that is chosen"});
  else
    v.field("min_margin", min_margin, {.help = "rewards of a pair differ by more than this", .min = 0});
}

std::vector<Record> PairRule::select(std::vector<Record> in, SelectContext& context) const {
  const bool reads_logp = rule == "least_surprise" || rule == "likely_negatives";
  const size_t most = rule == "all" || per_prompt == 0 ? SIZE_MAX : static_cast<size_t>(per_prompt);
  const std::vector<AnswerGroup> groups = rewarded_groups(in, "pairs", context);
  std::vector<Record> out;
  int64_t prompts = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    PairCandidates c{groups[g].answers, {}, {}};
    for (const Record& answer : c.answers) {
      c.reward.push_back(*answer_reward(answer));
      if (reads_logp) c.logp.push_back(mean_logp(answer, rule));
    }
    size_t taken = 0;
    for (const auto& [chosen, rejected] : ordered_places(*this, c, context, g)) {
      if (taken == most) break;
      const bool apart = rule == "threshold" || c.reward[chosen] - c.reward[rejected] > min_margin;
      if (!apart || !c.differ(chosen, rejected)) continue;
      out.push_back(pair_of_answers(c.answers[chosen], c.answers[rejected]));
      ++taken;
    }
    prompts += taken > 0 ? 1 : 0;
  }
  context.figures.emplace_back("prompts_selected", static_cast<double>(prompts));
  context.figures.emplace_back("pairs", static_cast<double>(out.size()));
  return out;
}

std::vector<Record> PairRule::labelled(const std::vector<Record>& in, SelectContext& context) const {
  std::vector<Record> out;
  for (AnswerGroup& group : rewarded_groups(in, "pairs", context)) {
    for (Record& answer : group.answers) {
      answer.json["label"] = *answer_reward(answer) >= threshold;
      out.push_back(std::move(answer));
    }
  }
  context.figures.emplace_back("labelled", static_cast<double>(out.size()));
  return out;
}

std::unique_ptr<SelectOptions> select_pairs() {
  return std::make_unique<PairRule>();
}

}  // namespace temper

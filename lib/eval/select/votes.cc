// Selectors that read answers and scores: majority, weighted, best, best_of_majority.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/select/candidates.h"
#include "eval/select/selectors.h"

namespace temper {
namespace {

Choice one_of(const std::optional<size_t>& place) {
  return place ? Choice{*place} : Choice{};
}

// The candidate of the highest score among `places`; none has one: the first.
size_t best_of(const Ballot& ballot, const std::vector<size_t>& places, const std::string& by,
               const std::string& selector) {
  std::vector<std::optional<double>> scores;
  for (const size_t i : places) scores.push_back(score_of(ballot.candidates[i], by, selector));
  return places[largest(scores).value_or(0)];
}

// The most frequent first, of equally frequent ones the one that was first given earliest.
void sort_by_votes(std::vector<AnswerCluster>& clusters) {
  std::stable_sort(clusters.begin(), clusters.end(), [](const AnswerCluster& a, const AnswerCluster& b) {
    return a.members.size() > b.members.size();
  });
}

class MajoritySelector : public Selector {
 public:
  std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext&) override {
    demand_answers(ballots, "majority");
    std::vector<Choice> out;
    for (const Ballot& ballot : ballots) {
      auto clusters = answer_clusters(ballot);
      sort_by_votes(clusters);
      out.push_back(clusters.empty() ? Choice{} : Choice{clusters[0].members[0]});
    }
    return out;
  }
};

class WeightedSelector : public Selector {
 public:
  explicit WeightedSelector(const WeightedOptions& o)
      : by_(o.by), probability_(o.weight == "probability"), most_(o.clusters) {}

  std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext&) override {
    demand_answers(ballots, "weighted");
    demand_scores(ballots, by_, "weighted");
    std::vector<Choice> out;
    for (const Ballot& ballot : ballots) {
      auto clusters = answer_clusters(ballot);
      if (most_ > 0) {
        sort_by_votes(clusters);
        clusters.resize(std::min(clusters.size(), static_cast<size_t>(most_)));
      }
      std::vector<std::optional<double>> sums;
      for (const AnswerCluster& cluster : clusters) sums.push_back(weight(ballot, cluster));
      const auto best = largest(sums);
      out.push_back(best ? Choice{best_of(ballot, clusters[*best].members, by_, "weighted")} : Choice{});
    }
    return out;
  }

 private:
  // null: no candidate of it has a score.
  std::optional<double> weight(const Ballot& ballot, const AnswerCluster& cluster) const {
    std::optional<double> sum;
    for (const size_t i : cluster.members) {
      const auto score = score_of(ballot.candidates[i], by_, "weighted");
      if (score) sum = sum.value_or(0) + (probability_ ? 1 / (1 + std::exp(-*score)) : *score);
    }
    return sum;
  }

  std::string by_;
  bool probability_;
  int64_t most_;
};

class BestOfSelector : public Selector {
 public:
  explicit BestOfSelector(std::string by) : by_(std::move(by)) {}

  std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext&) override {
    demand_scores(ballots, by_, "best");
    std::vector<Choice> out;
    for (const Ballot& ballot : ballots) {
      std::vector<std::optional<double>> scores;
      for (const Candidate& c : ballot.candidates) scores.push_back(score_of(c, by_, "best"));
      out.push_back(one_of(largest(scores)));
    }
    return out;
  }

 private:
  std::string by_;
};

class BestOfMajoritySelector : public Selector {
 public:
  explicit BestOfMajoritySelector(const BestOfMajorityOptions& o)
      : by_(o.by), share_(o.share), submit_(static_cast<size_t>(o.submit)) {}

  std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext&) override {
    demand_answers(ballots, "best_of_majority");
    demand_scores(ballots, by_, "best_of_majority");
    std::vector<Choice> out;
    for (const Ballot& ballot : ballots) out.push_back(choose(ballot));
    return out;
  }

 private:
  Choice choose(const Ballot& ballot) const {
    auto clusters = answer_clusters(ballot);
    size_t votes = 0, most = 0;
    for (const AnswerCluster& c : clusters) {
      votes += c.members.size();
      most = std::max(most, c.members.size());
    }
    const double least = std::min(share_ * static_cast<double>(votes), static_cast<double>(most));
    std::erase_if(clusters,
                  [&](const AnswerCluster& c) { return static_cast<double>(c.members.size()) < least; });
    std::vector<std::pair<double, size_t>> scored;  // of each answer's best candidate
    for (const AnswerCluster& c : clusters) {
      const size_t best = best_of(ballot, c.members, by_, "best_of_majority");
      if (const auto score = score_of(ballot.candidates[best], by_, "best_of_majority"))
        scored.emplace_back(*score, best);
    }
    std::stable_sort(scored.begin(), scored.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    scored.resize(std::min(scored.size(), submit_));
    Choice out;
    for (const auto& [score, place] : scored) out.push_back(place);
    return out;
  }

  std::string by_;
  double share_;
  size_t submit_;
};

void by_field(FieldVisitor& v, std::string& by) {
  v.field("by", by, {.help = "the reward whose score counts, by its name; total: all combined"});
}

}  // namespace

void MajorityOptions::fields(FieldVisitor&) {}
std::unique_ptr<Selector> MajorityOptions::make() const {
  return std::make_unique<MajoritySelector>();
}

void WeightedOptions::fields(FieldVisitor& v) {
  by_field(v, by);
  v.field(
      "weight", weight,
      {.help =
           "what is summed: the score itself, or the logistic function of it, for scores that are log-odds",
       .choices = {"score", "probability"}});
  v.field("clusters", clusters, {.help = "only so many of the most frequent answers; 0: all", .min = 0});
}
std::unique_ptr<Selector> WeightedOptions::make() const {
  return std::make_unique<WeightedSelector>(*this);
}

void BestOfOptions::fields(FieldVisitor& v) {
  by_field(v, by);
}
std::unique_ptr<Selector> BestOfOptions::make() const {
  return std::make_unique<BestOfSelector>(by);
}

void BestOfMajorityOptions::fields(FieldVisitor& v) {
  by_field(v, by);
  v.field("share", share,
          {.help = "of the answers that were read, what an answer needs to stay", .min = 0, .max = 1});
  v.field("submit", submit, {.help = "answers that are given; one that is correct is enough", .min = 1});
}
std::unique_ptr<Selector> BestOfMajorityOptions::make() const {
  return std::make_unique<BestOfMajoritySelector>(*this);
}

}  // namespace temper

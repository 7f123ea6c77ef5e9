// Questions that nothing was right for are asked again, with a hint.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "data/records.h"
#include "train/sampling.h"

namespace temper {

// NuRL (arXiv 2509.25666): a group none of whose rewards is above `at_most` is sampled once more with its
// record's hint behind the prompt, all but `keep` of its completions; those stay as they were sampled,
// without the hint. Hints are made beforehand (scripts/data/hints.py). A reward that is null counts as not
// above.
//
// conditions: what the learnt log-probs stand behind.
//   hinted  the prompt that the completion was sampled from: the policy's ratios are exact.
//   plain   the prompt without the hint, which is what evaluations ask. The completion is then no sample of
//           what is trained, and ratios begin at 1 all the same (they compare with the policy's own log-probs
//           behind that prompt); algorithm.correction weighs it by its true ratio.
// The paper does not say which; its figure has all but one of a group hinted, and begins with hints where
// plain training has converged (from_step).
struct HintSection : Fields {
  std::string column;  // empty: off
  std::string text = "\n\nHint: {hint}";
  std::string conditions = "hinted";
  double at_most = 0.0;
  int64_t keep = 1, from_step = 0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool on() const { return !column.empty(); }
};

class Session;

class Hints {
 public:
  // Of the run's train_records, for as long as those are. Tells how many have a hint. Throws UserError when
  // none has, for a hint that is no text or is not fit for its prompt, and with an environment that opens
  // conversations itself.
  Hints(Session& session, const HintSection& section);

  // Samples those of the groups that need it again. make: as they were sampled. Returns the tokens of the
  // completions that were given up, and adds the seconds of scoring.
  int64_t ask_again(Session& session, const GroupMake& make, std::vector<RolloutGroup>& groups,
                    double& scoring_seconds) const;

 private:
  bool wanted(const RolloutGroup& group) const;
  HintSection section_;
  std::vector<std::shared_ptr<const Record>> records_;  // with their hints; null: there is none
  std::vector<std::vector<int64_t>> prompts_;           // of those
};

}  // namespace temper

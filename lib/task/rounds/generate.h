// What phases that sample share: which prompts they ask, and the lines they leave.
#pragma once

#include <string>
#include <vector>

#include "eval/evaluate.h"
#include "reward/reward.h"
#include "task/rounds/phase.h"

namespace temper {

// Which prompts, of which model; and what scores the answers.
struct AskOptions : PhaseOptions {
  // held_out: prompts are data.eval's where nothing else is said, and the same ones in each round.
  explicit AskOptions(bool held_out = false) : held_out(held_out) {}

  const bool held_out;
  std::string model = "last", prompts, ask, prefix;
  std::vector<std::string> files;
  int64_t count = 0;
  std::vector<RewardEntry> rewards;
  std::string combine = "sum";  // of the phase's own rewards

  void fields(FieldVisitor& v) override;
  void check_phase(const RunConfig& config, size_t index, const std::string& where,
                   std::vector<std::string>& problems) const override;

  // The records that the phase asks in this round. Throws UserError.
  std::vector<Record> records(const PhaseWork& work) const;
  // The same as they are asked: with "ask" in the place of their prompts.
  std::vector<Record> asked(const RunConfig& config, std::vector<Record> records) const;
  // The model's folder.
  std::string model_folder(const PhaseWork& work) const;
  // Its own rewards, else the config's; none.
  const std::vector<RewardEntry>& scored_by(const RunConfig& config) const;
  std::unique_ptr<RewardSet> make_rewards(const RunConfig& config) const;
};

// The text with each {column} replaced by what the record has there: words as they are, of a chat the last
// message's, numbers and lists as JSON. "{{" stands for a brace. Throws UserError at the record's place for a
// column that is not there.
std::string fill_in(const std::string& text, const Record& record);

}  // namespace temper

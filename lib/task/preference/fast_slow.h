// OFS-DPO's two adapters in a run: which is fast, and when that changes. objective/ofs_dpo.cc has the losses.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace temper {

class LoraPairAdapter;
class Session;

class FastSlow {
 public:
  // Puts the fast adapter in place, as the session's state has it. The run's adapter is a "lora_pair".
  FastSlow(Session& session, int64_t swap_every);

  // For a forward pass of the slow one; select_fast() afterwards.
  void select_slow();
  void select_fast();
  // After a step with these mean losses ("loss_fast", "loss_slow"): every swap_every steps the adapter whose
  // sum of losses is lower becomes the fast one. Changes session.state.loop.
  void take_turns(const std::map<std::string, double>& losses);
  int64_t fast() const;  // 0 or 1

 private:
  Session& s_;
  LoraPairAdapter* pair_;
  int64_t swap_every_;
};

}  // namespace temper

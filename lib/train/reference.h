// Log-probs of a step's sequences, of the model as it is and of the reference model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "tensor/logp.h"
#include "train/micro_batch.h"

namespace temper {

class Model;
class Session;

// Log-probs of the targets of all sequences, [M], without gradient, of the distribution at the task's
// policy_temperature(). Cut as in the update's own pass: the numbers are the same to the last bit.
at::Tensor logp_of(Session& session, Model& model, const std::vector<Sequence>& sequences);

// logp_of the policy and, from the same pass, the critic's output at the state before each target: [M] both.
struct TokenNumbers {
  at::Tensor logp, value;
};
TokenNumbers logp_and_values(Session& session, const std::vector<Sequence>& sequences);

// Where objectives compute, whatever device the model is on: their numbers are few, and the same bits
// everywhere.
LogpResult on_host(LogpResult result);

// Runs `body` with the reference model: session.reference_weights where a moving reference has any, else the
// weights that the run started from. Those are, of an adapter run, the base with the adapter off; of a full
// run the model itself before the first update, then a frozen copy, loaded when it is first asked for
// (session.reference).
void with_reference(Session& session, const std::function<void(Model&)>& body);

// logp_of the reference model.
at::Tensor reference_logp(Session& session, const std::vector<Sequence>& sequences);

// A reference that follows the policy (TR-DPO, arXiv 2404.09656; curricula): reference <- (1 - share)
// reference + share policy, for whatever trains. The first call makes the reference the policy. Part of the
// checkpoints.
void move_reference(Session& session, double share);

}  // namespace temper

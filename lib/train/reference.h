// Log-probs of a step's sequences, of the model as it is and of the reference model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "train/micro_batch.h"

namespace temper {

class Model;
class Session;

// Temperature-scaled log-probs of the targets of all sequences, [M], without gradient. `unit` as in
// cut_into_micro_batches: with the cuts of the update's own pass the numbers are the same to the last bit.
at::Tensor logp_of(Session& session, Model& model, const std::vector<Sequence>& sequences, int64_t unit = 1);

// The same under the reference model, the weights that the run started from: of an adapter run the base with
// the adapter off; of a full run a frozen copy, made when it is first asked for (session.reference).
at::Tensor reference_logp(Session& session, const std::vector<Sequence>& sequences, int64_t unit = 1);

}  // namespace temper

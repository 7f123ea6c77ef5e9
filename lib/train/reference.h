// Log-probs of a step's sequences, of the model as it is and of the reference model.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "train/micro_batch.h"

namespace temper {

class Model;
class Session;

// Temperature-scaled log-probs of the targets of all sequences, [M], without gradient.
at::Tensor logp_of(Session& session, Model& model, const std::vector<Sequence>& sequences);

// The same under the reference model, the weights that the run started from: of an adapter run the base with
// the adapter off; of a full run a frozen copy, made when it is first asked for (session.reference).
at::Tensor reference_logp(Session& session, const std::vector<Sequence>& sequences);

}  // namespace temper

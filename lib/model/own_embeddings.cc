#include "model/own_embeddings.h"

#include <ATen/ATen.h>

#include <cmath>

#include "tensor/activations.h"
#include "tensor/ops.h"

namespace temper {

using at::Tensor;

Tensor own_embeddings(const ModelConfig& config, const Weights& w, const Tensor& ids, const Tensor& x,
                      const PassMath& math) {
  const int64_t width = config.unlike.own_embedding_width;
  const auto by_layer = [&](const Tensor& t) { return t.view({t.size(0), config.layers, width}); };
  Tensor of_token = embedding(ids, w.own_table->compute, w.own_table->master);
  // As the model's own embedding: by a number of their type.
  of_token = of_token * at::scalar_tensor(std::sqrt(static_cast<double>(width)), of_token.options());
  const Tensor of_input =
      math.project(w.own_projection, x) * (1.0 / std::sqrt(static_cast<double>(config.hidden)));
  return (math.norm(by_layer(of_input), w.own_norm) + by_layer(of_token)) * std::sqrt(0.5);
}

Tensor by_own_embedding(const OwnEmbeddingWeights& w, const Tensor& x, const Tensor& e,
                        const PassMath& math) {
  return math.norm(math.project(w.out, geglu(at::cat({math.project(w.gate, x), e}, 1))), w.after);
}

}  // namespace temper

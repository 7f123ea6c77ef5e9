#include "adapter/new_rows.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace temper {

void add_token_rows(Model& model, int64_t first, const std::vector<std::vector<int64_t>>& like) {
  const at::NoGradGuard no_grad;
  const int64_t rows = std::max(model.config().vocab, first + static_cast<int64_t>(like.size()));
  model.resize_vocabulary(rows);
  for (Parameter* p : model.parameters()) {
    const bool by_token = p->name == "model.embed_tokens.weight" || p->name == "lm_head.weight" ||
                          p->name == "model.embed_tokens_per_layer.weight";
    if (!by_token) continue;
    at::Tensor table = p->compute;
    const at::Tensor all = table.narrow(0, 0, first).to(at::kFloat).mean(0);
    for (size_t i = 0; i < like.size(); ++i) {
      const at::Tensor row = like[i].empty()
                                 ? all
                                 : table.index_select(0, at::tensor(like[i], at::kLong).to(table.device()))
                                       .to(at::kFloat)
                                       .mean(0);
      table[first + static_cast<int64_t>(i)].copy_(row);
    }
    p->freeze();
  }
}

}  // namespace temper

#include "rollout/end_ids.h"

#include "model/generation.h"
#include "text/end_of_turn.h"

namespace temper {

std::vector<int64_t> end_ids(const Model& model, const Tokenizer& tokenizer, const ChatTemplate* chat,
                             const std::vector<int64_t>& adapters) {
  std::vector<int64_t> more;
  if (const auto eos = tokenizer.eos()) more.push_back(*eos);
  if (chat != nullptr) {
    if (const auto end = end_of_turn(*chat, tokenizer)) more = join_ids(more, {*end});
  }
  return join_ids(more, join_ids(adapters, model.config().eos_ids));
}

}  // namespace temper

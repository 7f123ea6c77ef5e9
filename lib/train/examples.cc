#include "train/examples.h"

#include <algorithm>

#include "base/error.h"
#include "train/session.h"

namespace temper {

Examples encode_examples(const Session& s, const std::vector<Record>& records) {
  Examples out;
  for (const Record& record : records) {
    Example example = s.encoder->supervised(record);
    if (example.ids.empty()) continue;
    out.examples.push_back(std::move(example));
    out.records.push_back(&record);
  }
  return out;
}

Examples encode_train_examples(const Session& s) {
  Examples out = encode_examples(s, s.train_records);
  const size_t kept = out.examples.size(), all = s.train_records.size();
  if (kept == 0)
    user_error("{}: no example is within max_tokens {}", s.config.data.train_field(),
               s.config.data.max_tokens);
  const auto whole = std::count_if(s.train_records.begin(), s.train_records.end(),
                                   [&](const Record& record) { return s.encoder->learnt_whole(record); });
  if (whole > 0) {
    s.progress->message(
        fmt::format("{} of {} chats have no assistant turn and are learnt whole", whole, all));
  }
  if (kept < all) {
    s.progress->message(fmt::format("{} of {} examples are longer than max_tokens {} and left out",
                                    all - kept, all, s.config.data.max_tokens));
  }
  return out;
}

Sequence whole_sequence(const Example& example, int64_t group) {
  static const std::vector<int64_t> kNoPrompt;
  return {.prompt = &kNoPrompt,
          .completion = &example.ids,
          .target = &example.target,
          .group = group,
          .input = example.input.empty() ? nullptr : &example.input};
}

}  // namespace temper

#include "train/adapter_start.h"

#include "train/session.h"

namespace temper {
namespace {

std::vector<std::vector<int64_t>> sample_ids(const Session& s, int64_t count) {
  const auto records = static_cast<int64_t>(s.train_records.size());
  const bool whole = s.config.task == "sft" || s.config.task == "distill";
  const RecordOrder order(records, static_cast<uint64_t>(s.config.seed), s.config.data.order);
  std::vector<std::vector<int64_t>> out;
  for (int64_t i = 0; i < records && static_cast<int64_t>(out.size()) < count; ++i) {
    const Record& record = s.train_records[static_cast<size_t>(order.at(i))];
    std::vector<int64_t> ids = whole ? s.encoder->supervised(record).ids : s.encoder->prompt(record);
    if (!ids.empty()) out.push_back(std::move(ids));
  }
  return out;
}

}  // namespace

AdapterStart adapter_start(const Session& s) {
  return {[&s](const std::string& text) { return s.tokenizer->encode(text); },
          [&s](int64_t count) { return sample_ids(s, count); }};
}

}  // namespace temper

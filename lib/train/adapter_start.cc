#include "train/adapter_start.h"

#include "base/error.h"
#include "data/groups.h"
#include "train/session.h"

namespace temper {
namespace {

using Ids = std::vector<int64_t>;

std::vector<Ids> drawn(const Session& s, const Records& all, int64_t count,
                       const std::function<Ids(const Record&)>& encode) {
  const auto records = static_cast<int64_t>(all.size());
  const RecordOrder order(records, static_cast<uint64_t>(s.config.seed), s.config.data.epochs());
  std::vector<Ids> out;
  for (int64_t i = 0; i < records && static_cast<int64_t>(out.size()) < count; ++i) {
    Ids ids = encode(all[static_cast<size_t>(order.at(i))]);
    if (!ids.empty()) out.push_back(std::move(ids));
  }
  return out;
}

std::vector<Ids> sample_ids(const Session& s, const std::vector<std::string>& files, int64_t count) {
  if (!files.empty()) {
    return drawn(s, unpacked(s.config.data.read(files)), count, [&](const Record& record) {
      return record_kind(record) == RecordKind::kPrompt ? s.encoder->prompt(record)
                                                        : s.encoder->supervised(record).ids;
    });
  }
  const bool whole = s.config.task->learns_completions();
  const auto encode = [&](const Record& record) {
    if (!whole) return s.encoder->prompt(record);
    return s.encoder->supervised(is_group(record) ? unpacked(record).front() : record).ids;
  };
  if (!whole || s.train_records.large()) return drawn(s, s.train_records, count, encode);
  return drawn(s, unpacked(s.train_records.all("")), count, encode);
}

}  // namespace

AdapterStart adapter_start(const Session& s) {
  return {[&s](const std::string& text) { return s.tokenizer->encode(text); },
          [&s](const std::vector<std::string>& files, int64_t count) { return sample_ids(s, files, count); }};
}

}  // namespace temper

// Records that are token ids already.
#include "base/error.h"
#include "data/records.h"

namespace temper {
namespace {

constexpr int64_t kNotLearnt = -100;  // as transformers' data collators mark it

// A column of integers, of as many as there are ids.
std::vector<int64_t> integers(const Record& record, const char* column, size_t count) {
  const Json& list = record.json[column];
  std::vector<int64_t> out;
  for (const Json& item : list.is_array() ? list : Json::array()) {
    if (!item.is_number_integer()) break;
    out.push_back(item);
  }
  if (!list.is_array() || list.empty() || out.size() != list.size())
    user_error("{}: \"{}\" must be a list of integers", record.where(), column);
  if (count > 0 && out.size() != count)
    user_error("{}: {} \"{}\" for {} \"input_ids\"; there must be as many", record.where(), out.size(),
               column, count);
  return out;
}

}  // namespace

Example RecordEncoder::token_example(const Record& record) const {
  if (settings_.targets != "auto") {
    user_error("{}: token ids say by their labels what is learnt; set targets to \"auto\", not to \"{}\"",
               record.where(), settings_.targets);
  }
  const std::vector<int64_t> ids = integers(record, "input_ids", 0);
  std::vector<int64_t> labels = ids, real(ids.size(), 1);
  if (has_column(record.json, "labels")) labels = integers(record, "labels", ids.size());
  if (has_column(record.json, "attention_mask")) real = integers(record, "attention_mask", ids.size());
  const int64_t vocabulary = tokenizer_.vocab_size();
  Example out;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (real[i] != 0 && real[i] != 1)
      user_error("{}: \"attention_mask\"[{}] must be 0 or 1, found {}", record.where(), i, real[i]);
    if (real[i] == 0) continue;  // nothing is padded here
    if (ids[i] < 0 || ids[i] >= vocabulary) {
      user_error(
          "{}: \"input_ids\"[{}] is {}, outside of the tokenizer's {} tokens; the ids are of another model",
          record.where(), i, ids[i], vocabulary);
    }
    if (labels[i] != kNotLearnt && labels[i] != ids[i]) {
      user_error("{}: \"labels\"[{}] is {}; a label is the id in its place, here {}, or {}: not learnt",
                 record.where(), i, labels[i], ids[i], kNotLearnt);
    }
    out.ids.push_back(ids[i]);
    out.target.push_back(labels[i] != kNotLearnt);
  }
  return out;
}

}  // namespace temper

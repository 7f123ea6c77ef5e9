#include "train/examples.h"

#include <algorithm>

#include "base/error.h"
#include "train/session.h"

namespace temper {
namespace {

constexpr uint8_t kFits = 1, kLearntWhole = 2;  // flags of a stored example

// The ranks share the cache: what rank 0 has made the others find.
std::shared_ptr<const EncodedRecords> stored_examples(const Session& s, const Records& records) {
  const auto make = [&] {
    return std::make_shared<
        const EncodedRecords>(records, "examples", s.encoding_key, s.data_cache, [&](const Record& record) {
      const Example example = s.encoder->supervised(record);
      const bool whole = s.encoder->learnt_whole(record);
      if (example.ids.empty()) return EncodedRecord{"", static_cast<uint8_t>(whole ? kLearntWhole : 0)};
      return EncodedRecord{example_bytes(example), static_cast<uint8_t>(kFits | (whole ? kLearntWhole : 0))};
    });
  };
  std::shared_ptr<const EncodedRecords> out;
  if (s.ranks.first()) out = make();
  s.ranks.from_first("");
  return s.ranks.first() ? out : make();
}

// whole: counts the chats that are learnt whole; null: nobody asks.
Examples encoded(const Session& s, const Records& records, size_t* whole) {
  const auto span = s.phases->in(Phase::kData);
  Examples out;
  std::shared_ptr<const EncodedRecords> stored;
  if (records.large()) stored = stored_examples(s, records);
  for (size_t i = 0; i < records.size(); ++i) {
    if (stored != nullptr) {
      const Records::Place place = records.place(i);
      const uint8_t flags = stored->flags(place);
      if (whole != nullptr && (flags & kLearntWhole) != 0) ++*whole;
      if ((flags & kFits) == 0) continue;
      out.examples.push_back(stored, place);
    } else {
      const Record& record = records.kept(i);
      Example example = s.encoder->supervised(record);
      if (whole != nullptr && s.encoder->learnt_whole(record)) ++*whole;
      if (example.ids.empty()) continue;
      out.examples.push_back(std::move(example));
    }
    out.records.push_back(static_cast<int64_t>(i));
  }
  return out;
}

}  // namespace

Example ExampleList::operator[](size_t i) const {
  if (stored_ == nullptr) return held_[i];
  return example_of(stored_->bytes({places_[i].source, places_[i].record}));
}

Example ExampleList::at(size_t i) const {
  if (i >= size()) throw std::out_of_range("an example");
  return (*this)[i];
}

std::vector<Example> ExampleList::all() const {
  if (stored_ == nullptr) return held_;
  std::vector<Example> out;
  for (size_t i = 0; i < size(); ++i) out.push_back((*this)[i]);
  return out;
}

void ExampleList::push_back(const std::shared_ptr<const EncodedRecords>& stored,
                            const Records::Place& place) {
  stored_ = stored;
  places_.push_back({static_cast<uint32_t>(place.source), static_cast<uint32_t>(place.record)});
}

void ExampleList::push_back_from(ExampleList& other, size_t i) {
  if (other.stored_ == nullptr) return push_back(std::move(other.held_[i]));
  stored_ = other.stored_;
  places_.push_back(other.places_[i]);
}

Examples encode_examples(const Session& s, const Records& records) {
  return encoded(s, records, nullptr);
}

Examples encode_train_examples(const Session& s) {
  size_t whole = 0;
  Examples out = encoded(s, s.train_records, &whole);
  const size_t kept = out.examples.size(), all = s.train_records.size();
  if (kept == 0)
    user_error("{}: no example is within max_tokens {}", s.config.data.train_field(),
               s.config.data.max_tokens);
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

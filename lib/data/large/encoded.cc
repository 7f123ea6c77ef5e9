#include "data/large/encoded.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/version.h"
#include "data/large/in_order.h"
#include "data/remarks.h"

namespace temper {
namespace {

constexpr size_t kRecords = 256;  // that a thread takes at once

constexpr uint8_t kInString = 1, kInChat = 2;  // flags of a look

void put_ids(std::string& out, const std::vector<int64_t>& ids) {
  put_number(out, ids.size());
  for (const int64_t id : ids) put_number(out, static_cast<uint64_t>(id));
}

std::vector<int64_t> take_ids(std::string_view in, size_t& at) {
  std::vector<int64_t> out(take_number(in, at));
  for (int64_t& id : out) id = static_cast<int64_t>(take_number(in, at));
  return out;
}

// Lengths of runs of equal targets, the first of what is none.
void put_targets(std::string& out, const std::vector<bool>& target) {
  std::vector<uint64_t> runs;
  bool now = false;
  size_t begin = 0;
  for (size_t i = 0; i <= target.size(); ++i) {
    if (i < target.size() && target[i] == now) continue;
    runs.push_back(i - begin);
    begin = i;
    now = !now;
  }
  put_number(out, runs.size());
  for (const uint64_t run : runs) put_number(out, run);
}

std::vector<bool> take_targets(std::string_view in, size_t& at) {
  std::vector<bool> out;
  bool now = false;
  for (uint64_t left = take_number(in, at); left > 0; --left, now = !now)
    out.insert(out.end(), take_number(in, at), now);
  return out;
}

}  // namespace

EncodedRecords::EncodedRecords(const Records& records, const std::string& kind, const std::string& key,
                               const DataCache& cache,
                               const std::function<EncodedRecord(const Record&)>& make) {
  for (size_t s = 0; s < records.sources().size(); ++s) {
    const RecordSource& source = *records.sources()[s];
    const size_t pieces = (source.size() + kRecords - 1) / kRecords;
    const std::string all = Fingerprint().add(records.key(s)).add(kind).add(key).add(version()).hex();
    const std::string what = kind + " of " + source.file();
    files_.push_back(cache.made(kind, all, what, [&](BlobWriter& out) -> Json {
      std::string flags;
      size_t done = 0;
      in_order(
          cache.threads(), pieces,
          [&](size_t piece) {
            std::vector<EncodedRecord> made;
            const size_t first = piece * kRecords, last = std::min(first + kRecords, source.size());
            for (size_t i = first; i < last; ++i) made.push_back(make(records.of_source(s, i)));
            return made;
          },
          [&](const std::vector<EncodedRecord>& made) {
            for (const EncodedRecord& one : made) {
              out.add(one.bytes);
              flags += static_cast<char>(one.flags);
            }
            cache.tell(what, static_cast<double>(++done) / static_cast<double>(pieces));
          });
      out.add(flags);
      return Json::object();
    }));
    flags_.push_back(files_.back()->blob(source.size()));
  }
}

std::string EncodedRecords::bytes(const Records::Place& place) const {
  return files_[place.source]->blob(place.record);
}

std::vector<std::string> large_remarks(const Records& records, const Encoding& encoding,
                                       const DataCache& cache) {
  const std::string& parse = encoding.settings.special_tokens;
  if (parse == "text") return {};
  const SpecialTokens special(encoding.tokenizer);
  const EncodedRecords looks(records, "looks", encoding.key, cache, [&](const Record& record) {
    const auto [in_string, in_chat] = spelled_out(record, special, parse);
    return EncodedRecord{
        "", static_cast<uint8_t>((in_string.empty() ? 0 : kInString) | (in_chat.empty() ? 0 : kInChat))};
  });
  Tally strings, chats;
  for (size_t i = 0; i < records.size(); ++i) {
    const uint8_t flags = looks.flags(records.place(i));
    for (const auto& [flag, tally] : {std::pair{kInString, &strings}, {kInChat, &chats}}) {
      if ((flags & flag) == 0) continue;
      if (tally->count > 0) {
        ++tally->count;
        continue;
      }
      const Record record = records[i];
      const auto [in_string, in_chat] = spelled_out(record, special, parse);
      tally->add(record, flag == kInString ? in_string : in_chat);
    }
  }
  return remark_lines(strings, chats, records.size());
}

std::string ids_bytes(const std::vector<int64_t>& ids) {
  std::string out;
  put_ids(out, ids);
  return out;
}

std::vector<int64_t> ids_of(std::string_view bytes) {
  size_t at = 0;
  return take_ids(bytes, at);
}

std::string example_bytes(const Example& example) {
  if (!example.input.empty()) bug("an example of the data reads what it does not say");
  std::string out;
  put_ids(out, example.ids);
  put_targets(out, example.target);
  for (const int64_t number : {example.prompt_tokens, example.prefix_begin, example.prefix_tokens})
    put_number(out, static_cast<uint64_t>(number));
  return out;
}

Example example_of(std::string_view bytes) {
  Example out;
  size_t at = 0;
  out.ids = take_ids(bytes, at);
  out.target = take_targets(bytes, at);
  for (int64_t* number : {&out.prompt_tokens, &out.prefix_begin, &out.prefix_tokens})
    *number = static_cast<int64_t>(take_number(bytes, at));
  return out;
}

void put_answer(std::string& out, const Answer& answer) {
  put_ids(out, answer.prompt);
  put_ids(out, answer.completion);
  put_targets(out, answer.target);
}

Answer take_answer(std::string_view in, size_t& at) {
  Answer out;
  out.prompt = take_ids(in, at);
  out.completion = take_ids(in, at);
  out.target = take_targets(in, at);
  return out;
}

}  // namespace temper

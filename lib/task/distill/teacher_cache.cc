#include "task/distill/teacher_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"

namespace temper {
namespace {

constexpr char kMagic[9] = "TMPRTCH1";

uint64_t read_u64(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace

CacheIdentity cache_identity(const Tokenizer& tokenizer, const std::vector<Example>& examples,
                             const std::vector<std::string>& files, const EncodeSettings& settings,
                             const std::string& chat_template) {
  CacheIdentity out;
  Fingerprint vocabulary, data;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) vocabulary.add(tokenizer.piece(id));
  for (const Example& e : examples) {
    data.add(e.ids.data(), e.ids.size() * sizeof(int64_t));
    for (size_t i = 0; i < e.ids.size(); ++i) {
      data.add(static_cast<int64_t>(e.target[i]));
      out.positions += i > 0 && e.target[i] ? 1 : 0;  // a first token is predicted by nothing
    }
  }
  out.tokens = tokenizer.vocab_size();
  out.tokenizer = vocabulary.hex();
  out.examples = data.hex();
  out.count = static_cast<int64_t>(examples.size());
  out.files = files;
  out.encoding = fmt::format("max_tokens {}, overlong {}, targets {}, special_tokens {}, template {}",
                             settings.max_tokens, settings.overlong, settings.targets,
                             settings.special_tokens, chat_template);
  return out;
}

TeacherCache::TeacherCache(const std::string& path) : file_(path) {
  const auto broken = [&](const char* what) {
    user_error("{}: {}; write it anew with temper-generate --teacher-cache", path, what);
  };
  const uint64_t size = file_.size();
  if (size < 16 || std::memcmp(file_.data(), kMagic, 8) != 0) broken("this is no teacher cache");
  const uint64_t length = read_u64(file_.data() + 8);
  if (length > size - 16) broken("the file is cut short");
  header_ = parse_json(std::string(reinterpret_cast<const char*>(file_.data()) + 16, length), path);
  const auto number = [&](const char* key, int64_t low, int64_t high) {
    if (!header_.is_object() || !header_.contains(key) || !header_[key].is_number_integer() ||
        header_[key] < low || header_[key] > high)
      broken("its header does not hold together");
    return header_[key].get<int64_t>();
  };
  draws_ = number("draws", 1, 1 << 20);
  id_bits_ = number("id_bits", 1, 23);
  tokens_ = number("tokens", 1, int64_t{1} << id_bits_);
  examples_ = number("examples", 1, int64_t{1} << 40);
  const int64_t bytes = number("entry_bytes", 3, 7);
  entry_bytes_ = bytes == 3 || bytes == 7 ? bytes : 0;
  for (const char* key : {"tokenizer_hash", "data_hash", "encoding", "model"}) {
    if (!header_.contains(key) || !header_[key].is_string()) entry_bytes_ = 0;
  }
  if (entry_bytes_ == 0) broken("its header does not hold together");
  const uint64_t index = (static_cast<uint64_t>(examples_) + 1) * 8, body = size - 16 - length;
  if (index > body) broken("the file is cut short");
  bytes_ = body - index;
  entries_ = file_.data() + 16 + length;
  offsets_ = entries_ + bytes_;
  if (read_u64(offsets_) != 0 || read_u64(offsets_ + index - 8) != bytes_) broken("the file is cut short");
}

void TeacherCache::check(const CacheIdentity& identity) const {
  const std::string& path = file_.path();
  if (header_["tokenizer_hash"] != identity.tokenizer) {
    user_error(
        "{}: drawn from {}, whose tokenizer is not the student's; distillation needs the same "
        "vocabulary",
        path, header_["model"].get<std::string>());
  }
  if (header_["data_hash"] == identity.examples) return;
  const std::string encoding = header_["encoding"];
  if (encoding != identity.encoding)
    user_error("{}: made with {}, but this run has {}", path, encoding, identity.encoding);
  user_error(
      "{}: made for {} examples of {}, which are not the {} examples of data.train ({}); write it for "
      "these with temper-generate --teacher-cache",
      path, examples_, header_.value("files", Json::array()).dump(), identity.count,
      fmt::join(identity.files, ", "));
}

TeacherCache::Rows TeacherCache::rows(const std::vector<int64_t>& examples) const {
  struct Entry {
    int64_t token;
    float weight;
  };
  std::vector<std::vector<Entry>> positions;
  size_t widest = 1;
  const auto torn = [&] { user_error("{}: its entries do not hold together", file_.path()); };
  for (const int64_t example : examples) {
    if (example < 0 || example >= examples_) bug("teacher cache: no example {}", example);
    const uint64_t begin = read_u64(offsets_ + example * 8), end = read_u64(offsets_ + example * 8 + 8);
    if (begin > end || end > bytes_ || (end - begin) % static_cast<uint64_t>(entry_bytes_) != 0) torn();
    int64_t left = 0;  // draws of the last position that are still to come
    for (const uint8_t* at = entries_ + begin; at < entries_ + end; at += entry_bytes_) {
      const uint32_t word = at[0] | at[1] << 8 | static_cast<uint32_t>(at[2]) << 16;
      const int64_t token = word & ((1u << id_bits_) - 1), count = (word >> id_bits_) + 1;
      float ratio = 1.0f;
      if (entry_bytes_ == 7) std::memcpy(&ratio, at + 3, sizeof(ratio));
      if (left == 0) {
        positions.emplace_back();
        left = draws_;
      }
      if (count > left || token >= tokens_) torn();
      left -= count;
      positions.back().push_back(
          {token, static_cast<float>(static_cast<double>(count) / static_cast<double>(draws_)) * ratio});
      widest = std::max(widest, positions.back().size());
    }
    if (left != 0) torn();
  }
  const auto n = static_cast<int64_t>(positions.size()), d = static_cast<int64_t>(widest);
  Rows out{at::zeros({n, d}, at::kLong), at::zeros({n, d}, at::kFloat)};
  for (int64_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < positions[i].size(); ++k) {
      out.token.mutable_data_ptr<int64_t>()[i * d + static_cast<int64_t>(k)] = positions[i][k].token;
      out.weight.mutable_data_ptr<float>()[i * d + static_cast<int64_t>(k)] = positions[i][k].weight;
    }
  }
  return out;
}

}  // namespace temper

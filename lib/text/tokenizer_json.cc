#include "text/tokenizer_json.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

constexpr size_t kMaxDepth = 128;
constexpr size_t kMaxKeys = 1 << 16;  // of an object that is not the vocabulary; its look-ups are linear
constexpr int64_t kMaxId = INT32_MAX;

std::string position(const std::string& text, size_t byte) {
  byte = std::min(byte, text.size());
  const auto lines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(byte), '\n');
  const size_t start = byte == 0 ? std::string::npos : text.rfind('\n', byte - 1);
  return fmt::format("line {}, column {}", lines + 1, start == std::string::npos ? byte + 1 : byte - start);
}

// Builds the JSON value as the events come, but sends model.vocab and model.merges to their lists: a JSON
// object of 150,000 keys whose look-ups are linear would take minutes.
class Reader : public nlohmann::json_sax<Json> {
 public:
  Reader(TokenizerJson& out, const std::string& text, const std::string& where)
      : out_(out), text_(text), where_(where) {}

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(number_integer_t value) override {
    if (mode_ == Mode::kVocab) bad_id();
    return scalar(value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (mode_ != Mode::kVocab) return scalar(value);
    if (value > static_cast<number_unsigned_t>(kMaxId)) bad_id();
    out_.vocab.emplace_back(std::move(key_), static_cast<int64_t>(value));
    return true;
  }
  bool number_float(number_float_t value, const string_t&) override {
    if (mode_ == Mode::kVocab) bad_id();
    return scalar(value);
  }
  bool string(string_t& value) override {
    if (mode_ == Mode::kMerges) {
      merge_line(value);
      return true;
    }
    if (mode_ == Mode::kMergePair) {
      if (pair_size_ == 0) left_ = std::move(value);
      if (pair_size_ == 1) right_ = std::move(value);
      if (++pair_size_ > 2) bad_merge();
      return true;
    }
    return scalar(std::move(value));
  }
  bool binary(binary_t&) override { return false; }

  bool start_object(size_t) override {
    if (at_model_key("vocab")) {
      if (out_.has_vocab) user_error("{}: model.vocab stands twice", where_);
      out_.has_vocab = true;
      mode_ = Mode::kVocab;
      return true;
    }
    return open(Json::object());
  }
  bool key(string_t& value) override {
    if (mode_ == Mode::kVocab || skipped_ > 0) {
      key_ = std::move(value);
      return true;
    }
    Json& object = *stack_.back();
    if (object.contains(value))
      user_error("{}: the key \"{}\" stands twice in one object", where_, value.substr(0, 80));
    if (object.size() >= kMaxKeys) user_error("{}: an object with more than {} keys", where_, kMaxKeys);
    key_ = std::move(value);
    return true;
  }
  bool end_object() override {
    if (mode_ == Mode::kVocab) {
      mode_ = Mode::kValue;
      return true;
    }
    return close();
  }
  bool start_array(size_t) override {
    if (mode_ == Mode::kMerges) {
      mode_ = Mode::kMergePair;
      pair_size_ = 0;
      return true;
    }
    if (at_model_key("merges")) {
      if (out_.has_merges) user_error("{}: model.merges stands twice", where_);
      out_.has_merges = true;
      mode_ = Mode::kMerges;
      return true;
    }
    // A vocabulary of [piece, score] pairs belongs to another kind of model, whose name makes the error.
    if (skipped_ > 0 || at_model_key("vocab")) {
      if (mode_ != Mode::kValue) wrong_place();
      ++skipped_;
      return true;
    }
    return open(Json::array());
  }
  bool end_array() override {
    if (skipped_ > 0) {
      --skipped_;
      return true;
    }
    if (mode_ == Mode::kMergePair) {
      if (pair_size_ != 2) bad_merge();
      out_.merges.emplace_back(std::move(left_), std::move(right_));
      mode_ = Mode::kMerges;
      return true;
    }
    if (mode_ == Mode::kMerges) {
      mode_ = Mode::kValue;
      return true;
    }
    return close();
  }
  bool parse_error(size_t byte, const std::string&, const nlohmann::detail::exception& e) override {
    std::string what = e.what();
    const size_t from = what.find("syntax error");
    if (from != std::string::npos) what = what.substr(from);
    std::replace(what.begin(), what.end(), '\n', ' ');
    user_error("{}: not valid JSON at {}: {}", where_, position(text_, byte > 0 ? byte - 1 : 0),
               what.substr(0, 200));
  }

 private:
  enum class Mode { kValue, kVocab, kMerges, kMergePair };

  bool at_model_key(std::string_view key) const {
    return mode_ == Mode::kValue && skipped_ == 0 && stack_.size() == 2 && in_model_ && key_ == key;
  }

  Json* place(Json value) {
    if (stack_.empty()) {
      out_.parts = std::move(value);
      return &out_.parts;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool scalar(Json value) {
    if (skipped_ > 0) return true;
    if (mode_ == Mode::kVocab) bad_id();
    if (mode_ != Mode::kValue) bad_merge();
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (skipped_ > 0) {
      ++skipped_;
      return true;
    }
    if (mode_ != Mode::kValue) wrong_place();
    if (stack_.size() >= kMaxDepth) user_error("{}: nested deeper than {} levels", where_, kMaxDepth);
    const bool model = stack_.size() == 1 && stack_[0]->is_object() && key_ == "model";
    stack_.push_back(place(std::move(container)));
    if (stack_.size() == 2) in_model_ = model;
    return true;
  }
  bool close() {
    if (skipped_ > 0) {
      --skipped_;
    } else {
      stack_.pop_back();
    }
    return true;
  }
  void merge_line(const std::string& line) {
    if (line.starts_with("#version")) return;
    const size_t space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) bad_merge();
    out_.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  [[noreturn]] void bad_id() const {
    user_error("{}: model.vocab: the id of \"{}\" must be a whole number from 0 to {}", where_,
               key_.substr(0, 80), kMaxId);
  }
  [[noreturn]] void bad_merge() const {
    user_error("{}: model.merges[{}]: expected \"left right\" or [\"left\", \"right\"]", where_,
               out_.merges.size());
  }
  [[noreturn]] void wrong_place() const {
    if (mode_ == Mode::kVocab) bad_id();
    if (mode_ == Mode::kMerges || mode_ == Mode::kMergePair) bad_merge();
    user_error("{}: an object or array where none belongs", where_);
  }

  TokenizerJson& out_;
  const std::string& text_;
  const std::string& where_;
  Mode mode_ = Mode::kValue;
  std::vector<Json*> stack_;
  bool in_model_ = false;
  size_t skipped_ = 0;
  std::string key_, left_, right_;
  int pair_size_ = 0;
};

}  // namespace

TokenizerJson read_tokenizer_json(const std::string& text, const std::string& where) {
  TokenizerJson out;
  Reader reader(out, text, where);
  try {
    Json::sax_parse(text, &reader);
  } catch (const Json::exception& e) {
    user_error("{}: not valid JSON: {}", where, std::string(e.what()).substr(0, 200));
  }
  if (!out.parts.is_object()) user_error("{}: expected a JSON object", where);
  return out;
}

JsonPart::JsonPart(const Json& value, std::string where) : value_(value), where_(std::move(where)) {
  if (!value_.is_object()) user_error("{}: expected an object, found {}", where_, value_.type_name());
}

const Json& JsonPart::at(const char* key) const {
  const auto found = value_.find(key);
  if (found == value_.end()) user_error("{}: the key \"{}\" is missing", where_, key);
  return *found;
}

void JsonPart::wrong(const char* key, const char* expected) const {
  user_error("{}.{}: expected {}, found {}", where_, key, expected, at(key).type_name());
}

bool JsonPart::has(const char* key) const {
  const auto found = value_.find(key);
  return found != value_.end() && !found->is_null();
}

std::string JsonPart::string(const char* key) const {
  if (!at(key).is_string()) wrong(key, "a string");
  return at(key).get<std::string>();
}

std::string JsonPart::string_or(const char* key, const std::string& fallback) const {
  return has(key) ? string(key) : fallback;
}

bool JsonPart::boolean(const char* key) const {
  if (!at(key).is_boolean()) wrong(key, "true or false");
  return at(key).get<bool>();
}

bool JsonPart::boolean_or(const char* key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

int64_t JsonPart::integer(const char* key) const {
  if (!at(key).is_number_unsigned()) wrong(key, "a whole number that is not negative");
  const auto value = at(key).get<uint64_t>();
  if (value > static_cast<uint64_t>(kMaxId))
    user_error("{}.{}: {} is larger than {}", where_, key, value, kMaxId);
  return static_cast<int64_t>(value);
}

char32_t JsonPart::character(const char* key) const {
  const std::string text = string(key);
  size_t at = 0;
  const char32_t c = text.empty() ? 0 : next_char(text, at);
  if (text.empty() || at != text.size())
    user_error("{}.{}: expected one character, found \"{}\"", where_, key, text);
  return c;
}

JsonPart JsonPart::part(const char* key) const {
  return JsonPart(at(key), where_ + "." + key);
}

std::vector<JsonPart> JsonPart::parts(const char* key) const {
  if (!at(key).is_array()) wrong(key, "an array");
  std::vector<JsonPart> out;
  for (const Json& item : at(key)) out.emplace_back(item, fmt::format("{}.{}[{}]", where_, key, out.size()));
  return out;
}

}  // namespace temper

// libFuzzer's mutator for targets that read JSON: mostly it changes the value, so that the reader behind the
// parser is reached, and now and then the bytes. Text of several lines (JSONL) has one line changed.
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using temper::Json;

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  size_t draw(size_t below) { return random_() % below; }

  void change(Json& root) {
    std::vector<Json*> all;
    collect(root, all, 0);
    Json& at = *all[draw(all.size())];
    const Json other = *all[draw(all.size())];
    const size_t what = draw(8);
    if (what == 0) {
      at = other;
    } else if (what == 1 && !at.empty() && at.is_structured()) {
      at.erase(std::next(at.begin(), static_cast<std::ptrdiff_t>(draw(at.size()))));
    } else if (what == 2 && at.is_array()) {
      at.insert(std::next(at.begin(), static_cast<std::ptrdiff_t>(draw(at.size() + 1))), other);
    } else if (what == 3 && at.is_object() && !at.empty()) {
      const auto entry = std::next(at.begin(), static_cast<std::ptrdiff_t>(draw(at.size())));
      std::string key = entry.key();
      const Json value = entry.value();
      if (draw(2) == 0) at.erase(entry);
      change(key);
      at[key] = value;
    } else if (what == 4 && draw(4) == 0) {
      for (size_t n = draw(200); n > 0; --n) at = Json::array({std::move(at)});
    } else if (what <= 5 && at.is_number_integer()) {
      at = static_cast<int64_t>(at.get<uint64_t>() + draw(5) - 2);
    } else if (what <= 6 && at.is_string()) {
      std::string text = at.get<std::string>();
      change(text);
      at = text;
    } else {
      at = extreme();
    }
  }

  void change(std::string& bytes) {
    const size_t size = bytes.size();
    bytes.resize(size + 16);
    bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, bytes.size()));
  }

 private:
  static void collect(Json& json, std::vector<Json*>& all, int depth) {
    all.push_back(&json);
    if (!json.is_structured() || depth > 40) return;
    for (Json& item : json) collect(item, all, depth + 1);
  }
  Json extreme() {
    const Json values[] = {nullptr,
                           true,
                           false,
                           0,
                           -1,
                           1,
                           255,
                           65536,
                           INT64_MAX,
                           INT64_MIN,
                           UINT64_MAX,
                           int64_t{1} << 31,
                           int64_t{1} << 32,
                           0.5,
                           1e19,
                           1e308,
                           -1e300,
                           "",
                           "\xC3\xA9",
                           std::string("a\0b", 3),
                           std::string(300, 'x'),
                           "\xF0\x9F\x98\x80\xE2\x81\xBF",
                           "<0xFF>",
                           Json::array(),
                           Json::object(),
                           static_cast<int64_t>(draw(1000))};
    return values[draw(std::size(values))];
  }
  std::mt19937 random_;
};

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  Mutator mutator(seed);
  const std::string text(reinterpret_cast<const char*>(data), size);
  size_t begin = 0, end = size;
  if (Json json = Json::parse(text, nullptr, false, true); json.is_discarded()) {
    const size_t at = size == 0 ? 0 : mutator.draw(size);
    begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;  // npos + 1 is 0
    end = std::min(text.find('\n', at), size);
  }
  Json json = Json::parse(text.substr(begin, end - begin), nullptr, false, true);
  if (json.is_discarded() || mutator.draw(5) == 0) return LLVMFuzzerMutate(data, size, max_size);
  for (size_t n = 1 + mutator.draw(3); n > 0; --n) mutator.change(json);
  const std::string out = text.substr(0, begin) +
                          json.dump(-1, ' ', mutator.draw(2) == 0, Json::error_handler_t::ignore) +
                          text.substr(end);
  if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}

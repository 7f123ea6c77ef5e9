// Added tokens: found in the text before the model sees it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace temper {

struct AddedToken {
  std::string content;
  int64_t id = -1;
  bool single_word = false;  // only where no word character stands beside it
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;
  bool normalized = false;  // looked for in the normalised text, in its own normalised form
  bool special = false;
};

// Many strings looked for at once, the leftmost and then longest match first.
class StringSet {
 public:
  void insert(std::string_view text, int64_t value);  // the first value of a string stays
  bool empty() const { return next_.empty(); }
  // The longest string that starts at `at`: its length, and its value; 0 when there is none.
  size_t longest(std::string_view text, size_t at, int64_t& value) const;
  bool may_start(unsigned char byte) const { return starts_[byte]; }

 private:
  std::unordered_map<uint64_t, int32_t> next_;  // node * 256 + byte -> node
  std::vector<int64_t> values_ = {-1};
  bool starts_[256] = {};
};

class AddedTokens {
 public:
  // form: the string to look for, the content itself or its normalised form.
  void add(const AddedToken& token, const std::string& form, const std::string& where);

  const AddedToken* find(int64_t id) const;
  const AddedToken* find(std::string_view content) const;

  struct Span {
    size_t begin, end;
    int64_t id;  // -1: text between tokens
  };
  using Ranges = std::vector<std::pair<size_t, size_t>>;

  // Cuts the text before it is normalised: at tokens that are not looked for normalised. skip_special:
  // special ones stay text. plain: sorted ranges of the text that no special token may touch; where there are
  // some, special tokens that are looked for normalised are found here too, since ranges cannot be followed
  // through normalising.
  void split_raw(std::string_view text, bool skip_special, const Ranges& plain,
                 std::vector<Span>& spans) const;
  // Cuts normalised text at the tokens that are looked for there.
  void split_normalized(std::string_view text, bool skip_special, std::vector<Span>& spans) const;

 private:
  void split(const StringSet& set, std::string_view text, bool skip_special, const Ranges& plain,
             std::vector<Span>& spans) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int64_t, size_t> by_id_;
  std::unordered_map<std::string, size_t> by_content_;
  StringSet raw_, normalized_, raw_and_special_;
};

}  // namespace temper

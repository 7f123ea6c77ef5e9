#include "text/end_of_turn.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace temper {

std::optional<int64_t> end_of_turn(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const std::string answer = "Fine.";
  const Json messages = {{{"role", "user"}, {"content", "How are you?"}},
                         {{"role", "assistant"}, {"content", answer}}};
  std::vector<int64_t> ids;
  try {
    ids = chat.encode_ids(tokenizer, messages, Json());
  } catch (const UserError&) {
    return std::nullopt;
  }
  // From the end to where the answer is: the first special token behind it, with nothing but blanks between.
  const auto text = [&](size_t first) {
    return tokenizer.decode({ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end()}, true);
  };
  size_t first = ids.size();
  while (first > 0 && text(first).find(answer) == std::string::npos) --first;
  if (text(first).find(answer) == std::string::npos) return std::nullopt;
  std::string words;
  for (size_t i = first; i < ids.size(); ++i) {
    if (tokenizer.is_special(ids[i])) {
      const size_t end = words.find(answer) + answer.size();
      const bool blank = words.find_first_not_of(" \t\r\n", end) == std::string::npos;
      return blank ? std::optional<int64_t>(ids[i]) : std::nullopt;
    }
    words = tokenizer.decode(
        {ids.begin() + static_cast<std::ptrdiff_t>(first), ids.begin() + static_cast<std::ptrdiff_t>(i) + 1},
        true);
  }
  return std::nullopt;
}

}  // namespace temper

// What a server said to the rewards "http" and "judge", and what is read of a judge's words.
#include <cmath>

#include "fuzz.h"
#include "reward/item_json.h"
#include "reward/remote/judge_answer.h"

using namespace temper;

namespace {

void words(const std::string& text) {
  for (const auto& number : {last_number(text, 10), field_number(text, "score")})
    fuzz::promise(!number || std::isfinite(*number), "a number that is none");
  said_word(text, "Yes", "No");
  said_word(text, "A", "B");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  fuzz::reads([&] {
    bool nan = false;
    const Json json = parse_outside_json(text, nan);
    const auto item = [](const Json& one) {
      const ItemAnswer answer = read_item_answer(one);
      fuzz::promise(!answer.valid || !answer.score.value || std::isfinite(*answer.score.value),
                    "a score that is no number");
    };
    item(json);
    if (json.is_object() && json.contains("items") && json["items"].is_array())
      for (const Json& one : json["items"]) item(one);
  });
  fuzz::reads([&] {
    words(text);
    const auto reply = read_judge_reply(text);
    if (!reply) return;
    words(reply->text);
    const auto odds = word_log_odds(*reply, "Yes", "No");
    fuzz::promise(!odds || std::isfinite(*odds), "log-odds that are no number");
  });
  return 0;
}

#include "eval/rethink.h"

#include "base/error.h"

namespace temper {
namespace {

std::string final_part(const std::string& answer) {
  constexpr std::string_view kThought = "</think>";
  const size_t thought = answer.rfind(kThought);
  const std::string said = thought == std::string::npos ? answer : answer.substr(thought + kThought.size());
  const size_t begin = said.find_first_not_of(" \t\r\n"), end = said.find_last_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : said.substr(begin, end - begin + 1);
}

}  // namespace

Record asked_again(const Record& record, const std::string& answer) {
  Record out = record;
  append_words(
      out, fmt::format(" The assistant's previous answer is: <answer> {} </answer>, and please re-answer.",
                       final_part(answer)));
  return out;
}

}  // namespace temper

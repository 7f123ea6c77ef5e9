#include "reward/program_text.h"

#include <fmt/format.h>

#include "reward/normalise.h"

namespace temper {
namespace {

constexpr size_t kPart = 2048;  // bytes

// Whether a byte goes on with a character that began before it.
bool goes_on(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

std::string how_it_ended(const SandboxResult& result) {
  switch (result.end) {
    case SandboxEnd::kExit:
      return result.code == 0 ? "" : fmt::format("exit code {}", result.code);
    case SandboxEnd::kSignal:
      return fmt::format("killed by signal {}", result.code);
    case SandboxEnd::kTime:
      return "time limit reached";
    case SandboxEnd::kOutput:
      return "output limit reached";
    case SandboxEnd::kFolder:
      return "file limit reached";
    case SandboxEnd::kProcesses:
      return "process limit reached";
    case SandboxEnd::kStopped:
      return "stopped";
  }
  return "";
}

std::string removed(const std::string& text, const std::string& word) {
  std::string out;
  size_t begin = 0;
  for (size_t at; (at = text.find(word, begin)) != std::string::npos; begin = at + word.size())
    out.append(text, begin, at - begin);
  return out.append(text, begin);
}

}  // namespace

std::string head_and_tail(std::string_view text) {
  if (text.size() <= 2 * kPart) return valid_utf8(text);
  size_t head = kPart, tail = text.size() - kPart;
  for (int i = 0; i < 3 && goes_on(text[head]); ++i) --head;
  for (int i = 0; i < 3 && goes_on(text[tail]); ++i) ++tail;
  return fmt::format("{}\n[{} bytes left out]\n{}", valid_utf8(text.substr(0, head)), tail - head,
                     valid_utf8(text.substr(tail)));
}

std::string program_text(const SandboxResult& result, const std::vector<std::string>& without) {
  std::string out = how_it_ended(result);
  for (const auto& [name, written] : {std::pair{"output", &result.out}, {"error", &result.err}}) {
    std::string text = removed(*written, result.folder + "/");
    for (const std::string& word : without) text = removed(text, word);
    text.erase(text.find_last_not_of('\n') + 1);
    if (text.empty()) continue;
    out += fmt::format("{}standard {}:\n{}", out.empty() ? "" : "\n", name, head_and_tail(text));
  }
  return out;
}

}  // namespace temper

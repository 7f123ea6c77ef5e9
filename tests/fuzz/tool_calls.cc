// A format's number, and what a model wrote; the raw text behind a zero byte.
#include "text/tool_calls.h"

#include "fuzz.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto format = static_cast<ToolFormat>(data[0] % tool_format_names().size());
  const std::string_view all = fuzz::text_of(data + 1, size - 1);
  const size_t zero = all.find('\0');
  const std::string_view text = all.substr(0, zero);
  const std::string_view raw = zero == std::string_view::npos ? text : all.substr(zero + 1);
  ToolCalls read;
  fuzz::promise(fuzz::reads([&] { read = read_tool_calls(format, text, raw); }),
                "an error for what a model wrote");
  fuzz::promise(read.calls.size() <= kMaxToolCalls + 1, "more calls than there may be");
  for (const ToolCall& call : read.calls) {
    fuzz::promise(call.arguments.is_object(), "arguments that are no object");
    fuzz::promise(!call.error.empty() || !call.name.empty() || format == ToolFormat::kMistral ||
                      call.written.find("\"name\"") != std::string::npos,
                  "a call without a name");
    fuzz::dumped(call.arguments);
  }
  return 0;
}

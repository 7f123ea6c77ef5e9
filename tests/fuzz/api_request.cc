// A request of either kind as JSON. What is wrong is a refusal that names the key, and nothing else is
// thrown.
#include "fuzz.h"
#include "serve/api_error.h"
#include "serve/protocol.h"

using namespace temper;

namespace {

template <class F>
void refused_or_read(F read) {
  try {
    read();
  } catch (const ApiError& e) {
    fuzz::promise(e.status == 400 && *e.what() != '\0', "a refusal that is no 400");
    dump_line(to_json(e));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  fuzz::reads([&] {
    const Json json = parse_json(text, "the request");
    refused_or_read([&] {
      const ChatRequest request = read_chat_request(json, {});
      fuzz::promise(!request.messages.empty(), "a chat without messages");
      fuzz::promise(request.samples >= 1 && request.samples <= 16, "so many samples");
    });
    refused_or_read([&] {
      const CompletionRequest request = read_completion_request(json, {});
      fuzz::promise(!request.prompts.empty() && request.prompts.size() <= kMaxPrompts, "so many prompts");
    });
  });
  return 0;
}

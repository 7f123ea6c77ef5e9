// A chat on the terminal.
#pragma once

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>

#include "base/json.h"
#include "rollout/engine.h"
#include "text/template.h"

namespace temper {

// Reads what the user says line by line and writes the answers while they are made.
inline void converse(Model& model, const Tokenizer& tokenizer, const ChatTemplate& chat,
                     const SamplingOptions& sampling, EngineOptions options) {
  Json messages = Json::array();
  std::string line;
  for (options.step = 0; std::fputs("> ", stdout), std::fflush(stdout), std::getline(std::cin, line);
       ++options.step) {
    if (line.empty()) continue;
    messages.push_back({{"role", "user"}, {"content", line}});
    StreamDecoder stream(tokenizer);
    const bool live = sampling.stop.empty();  // with stop strings the text is certain at the end only
    options.on_token = [&](size_t, int64_t, int64_t id) {
      const bool end = std::count(options.end_ids.begin(), options.end_ids.end(), id) > 0;
      if (live && !end) std::fputs(stream.push(id).c_str(), stdout), std::fflush(stdout);
    };
    GenerateRequest request{chat.encode(tokenizer, messages, true).ids, 1, 0};
    const Completion answer = generate(model, tokenizer, {request}, sampling, options)[0][0];
    std::printf("%s\n", live ? stream.finish().c_str() : answer.text.c_str());
    messages.push_back({{"role", "assistant"}, {"content", answer.text}});
  }
  std::printf("\n");
}

}  // namespace temper

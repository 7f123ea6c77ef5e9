// A chat on the terminal.
#pragma once

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>

#include "base/json.h"
#include "common.h"
#include "rollout/engine.h"
#include "text/template.h"

namespace temper {

// Reads what the user says line by line and writes the answers while they are made.
inline void converse(Model& model, const Tokenizer& tokenizer, const ChatTemplate& chat,
                     const SamplingOptions& sampling, EngineOptions options) {
  Json messages = Json::array();
  std::string line;
  for (options.step = 0; print_text("> "), flush_stdout(), std::getline(std::cin, line); ++options.step) {
    if (line.empty()) continue;
    messages.push_back({{"role", "user"}, {"content", line}});
    StreamDecoder stream(tokenizer);
    const bool live = sampling.stop.empty();  // with stop strings the text is certain at the end only
    options.on_token = [&](size_t, int64_t, int64_t id) {
      const bool end = std::count(options.end_ids.begin(), options.end_ids.end(), id) > 0;
      if (live && !end) print_text(stream.push(id)), flush_stdout();
    };
    GenerateRequest request{chat.encode_prompt(tokenizer, messages, false, Json()), 1, 0};
    const Completion answer = generate(model, tokenizer, {request}, sampling, options)[0][0];
    print_text((live ? stream.finish() : answer.text) + "\n");
    messages.push_back({{"role", "assistant"}, {"content", answer.text}});
  }
  print_text("\n");
}

}  // namespace temper

// What Ollama needs beside a GGUF file: a Modelfile with the chat template in its own language.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

// A chat as a row of messages, each with its role's words around it: what templates of most families come to.
struct MessageWords {
  struct Around {
    std::string before, after;
  };
  std::optional<Around> system;  // nothing: the template takes no such message
  Around user, assistant;
  std::string generation;      // what an answer stands behind
  std::string default_system;  // what the template says where a chat has no system message; "": nothing
};

// Told from the template's own renderings, and checked against them for chats with and without a system
// message, of one turn and of several. Nothing: the template does more than that. The begin token is left
// out, which Ollama puts in front itself.
std::optional<MessageWords> message_words(const ChatTemplate& chat, const Tokenizer& tokenizer);

// FROM, TEMPLATE, SYSTEM and the stops (texts of tokens). chat: null: the model has no template.
std::string ollama_modelfile(const std::string& gguf_file, const ChatTemplate* chat,
                             const Tokenizer& tokenizer, const std::vector<std::string>& stops);

}  // namespace temper

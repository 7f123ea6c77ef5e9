// What environments want to know, and to have said, before the first conversation.
#pragma once

#include <string>
#include <vector>

#include "env/environment.h"

namespace temper {

// An EnvironmentSource that is told what conversations are written with, and that prompts speak of.
class Introduced {
 public:
  virtual ~Introduced() = default;
  // Called once, before anything else. chat: null: there is no template.
  virtual void meet(const Tokenizer& tokenizer, const ChatTemplate* chat) = 0;
  // What prompts say first; "": nothing.
  virtual std::string system() const = 0;
};

// Introduces a source to what conversations are written with; the settings give the chat template its tools,
// and what it has prompts say is put in front of the records' own: of chats into the system message, of
// strings before them, with an empty line between. Throws UserError for a record without a prompt.
void introduce(EnvironmentSource& source, const Tokenizer& tokenizer, const ChatTemplate* chat,
               EncodeSettings& settings, const std::vector<std::vector<Record>*>& records);

// What is known of records whose conversations cannot be judged, a line for all, "" where there is none.
// Throws what EnvironmentSource::check throws. what: "data.train".
std::string check_records(const EnvironmentSource& source, const std::vector<Record>& records,
                          const std::string& what);

}  // namespace temper

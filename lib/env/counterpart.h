// Who holds the other side of conversations: a program or a server, asked in JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"

namespace temper {

// Thread-safe.
class Counterpart {
 public:
  virtual ~Counterpart() = default;
  // The answer to `body`. None: it did not come in time, or was none. `life`, where it is given, is the one
  // in which a conversation began: what has begun anew since knows nothing of it and is not asked. Throws
  // UserError once interrupt() was called, and when there is never an answer.
  virtual std::optional<Json> ask(Json body, int64_t life = -1) = 0;
  // What needs no answer.
  virtual void tell(Json body, int64_t life) = 0;
  virtual int64_t life() { return 0; }  // how often it has begun anew
  virtual void interrupt() = 0;
  virtual std::string name() const = 0;  // for people
};

}  // namespace temper

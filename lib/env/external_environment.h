// External environments: a program (one JSON object a line each way) or a server (each question a POST) holds
// the other side of conversations, as many at once as there are.
//
//   in   {"id": 1, "reset": {"seed": 123, "columns": {...the record...}}}
//   out  {"id": 1, "messages": [{"role": "user", "content": "..."}]}       put behind the record's prompt
//   in   {"id": 2, "conversation": 7, "reset": {...the same...}}           one conversation begins
//   out  {"id": 2, "messages": [...the same, as they are a function of the seed...]}
//   in   {"id": 3, "conversation": 7,
//         "step": {"text": "...", "raw_text": "...", "truncated": false, "last": false}}
//   out  {"id": 3, "messages": [...], "over": false, "reward": null, "state": "...", "figures": {"hits": 1}}
//   in   {"id": 4, "conversation": 7, "cut": true}     its last messages did not fit into the completion any
//   more out  {"id": 4, "reward": -1}                       what there is to say of it yet in
//   {"conversation": 7, "close": true}            nothing is answered
//
// "seed" is one for all conversations of a group, which begin alike. "last": whatever is answered is not
// read, the conversation ends for its length. A program's answers may come in any order and must be written
// out at once (flush); a server's need no "id"; all other keys of an answer may be left out. An answer that
// does not come in time, or is not as above, ends the conversation without a reward; so does a program that
// ends, or is ended because two answers in a row have not come: it is started again for the conversations
// that begin later. Past a share of such conversations the run stops.
#pragma once

#include "base/http.h"
#include "env/environment.h"

namespace temper {

struct ExternalEnvironmentOptions : EnvironmentOptions {
  double fail_share = 0.5;
  bool judges = true;
  void fields(FieldVisitor& v) override;
  bool scores() const override { return judges; }
};

struct ProcessEnvironmentOptions : ExternalEnvironmentOptions {
  std::vector<std::string> command;
  double timeout_s = 10.0, start_timeout_s = 60.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  // Starts the program; UserError when it cannot be.
  std::unique_ptr<EnvironmentSource> make() const override;
};

struct HttpEnvironmentOptions : ExternalEnvironmentOptions {
  HttpOptions http;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<EnvironmentSource> make() const override;
};

}  // namespace temper

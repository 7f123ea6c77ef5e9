// The external environment: a program of the user's that holds the other side of conversations, one JSON
// object a line each way, as many conversations at once as there are.
//
//   in   {"id": 1, "reset": {"seed": 123, "columns": {...the record...}}}
//   out  {"id": 1, "messages": [{"role": "user", "content": "..."}]}       put behind the record's prompt
//   in   {"id": 2, "conversation": 7, "reset": {...the same...}}           one conversation begins
//   out  {"id": 2, "messages": [...the same, as they are a function of the seed...]}
//   in   {"id": 3, "conversation": 7, "step": {"text": "...", "raw_text": "...", "truncated": false, "last":
//   false}} out  {"id": 3, "messages": [...], "over": false, "reward": null, "state": "...", "figures":
//   {"hits": 1}} in   {"conversation": 7, "close": true}                                nothing is answered
//
// "seed" is one for all conversations of a group, which begin alike. "last": whatever is answered is not
// read, the conversation ends for its length. Answers may come in any order and must be written out at once
// (flush); all keys of an answer but "id" may be left out. An answer that does not come within `timeout_s`,
// or is not as above, ends the conversation without a reward; so does a program that ends, or is ended
// because two answers in a row have not come: it is started again for the conversations that begin later.
// Past a share of such conversations the run stops.
#pragma once

#include "env/environment.h"

namespace temper {

struct ProcessEnvironmentOptions : EnvironmentOptions {
  std::vector<std::string> command;
  double timeout_s = 10.0, start_timeout_s = 60.0, fail_share = 0.5;
  bool judges = true;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool scores() const override { return judges; }
  std::unique_ptr<EnvironmentSource> make()
      const override;  // starts the program; UserError when it cannot be
};

}  // namespace temper

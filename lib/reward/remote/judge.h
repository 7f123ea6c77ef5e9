// A language model that judges completions: behind an OpenAI-style endpoint, or from a folder.
//
// mode      answer that is read                                       score
// yes_no    how likely the token Yes was beside No, else the word     P(Yes) / (P(Yes) + P(No)), else 1 or 0
// rubric    its last number, or that under a key of its JSON          (number - min) / (max - min)
// pairwise  as yes_no, of the words for the first and the second;     P(the completion is better), the mean
// of
//           asked twice, with the completion first and second         both orders
//
// With several `prompts` the score is their mean. It is null when one of them could not be asked or read, so
// that all scores are of the same questions. What the judge wrote is the score's text, an answer below the
// other; what it thought before ("</think>") is left out.
//
// An endpoint is asked with {"model", "messages" or "prompt", "max_tokens", "temperature", "logprobs" ...},
// equal questions of a batch once. A model from a folder (yes_no and pairwise alone) is not asked to write:
// its log-odds of the two words are read where its answer begins, by the reward `model` as a verbaliser.
//
// Sources: P(Yes) over several wordings, ILF (arXiv 2303.16755); both orders against position bias, MT-Bench
// (arXiv 2306.05685).
#pragma once

#include "reward/remote/remote_calls.h"
#include "reward/reward.h"

namespace temper {

struct JudgeOptions : RewardOptions {
  std::string mode = "yes_no";
  std::string path;  // a folder, or remote.http.url
  std::string model, system;
  std::vector<std::string> prompts;  // empty: the mode's own
  std::string reference = "reference";
  std::string yes = "Yes", no = "No", first = "A", second = "B";
  std::string value = "probability";
  double min = 1, max = 10;
  std::string field;
  int64_t max_tokens = 16, top_logprobs = 5;
  double temperature = 0;
  Json body = Json::object();
  RemoteOptions remote;
  // Of a model from a folder.
  bool chat_prompts = true;
  std::string dtype = "auto", device = "cpu";
  int64_t micro_batch_tokens = 8192;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;  // loads a folder's model; throws UserError
};

}  // namespace temper

// Completions of an evaluation as they come, so that one that is stopped goes on where it was.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json_fwd.h"
#include "rollout/engine.h"

namespace temper {

// The file OUTPUT.partial: a line with the settings that completions depend on, then a line for each request
// whose samples have all ended. Lines are synced about once a second.
class PartialCompletions {
 public:
  // Goes on with the file, if there is one. A last line that is torn is cut off. Throws UserError when its
  // settings are others, naming the first that is, or when it is no such file.
  PartialCompletions(const std::string& output, const Json& settings);

  // Samples of a request of a part (one a budget of thinking) that are there; null: they are not.
  const std::vector<Completion>* find(int64_t part, uint64_t request) const;
  int64_t found() const { return static_cast<int64_t>(done_.size()); }
  void add(int64_t part, uint64_t request, const std::vector<Completion>& samples);
  // The output has been written.
  void remove();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::map<std::pair<int64_t, uint64_t>, std::vector<Completion>> done_;
  std::unique_ptr<LineWriter> writer_;
  double synced_s_ = 0;
};

// All completions, [request][sample], of which those in `partial` (which may be null) are not generated
// again. run: generates for some of the requests, and calls the given function with each that has ended and
// its place among them.
using EndedRequest = std::function<void(size_t place, const std::vector<Completion>& samples)>;
std::vector<std::vector<Completion>> generate_missing(
    const std::vector<GenerateRequest>& requests, PartialCompletions* partial, int64_t part,
    const std::function<std::vector<std::vector<Completion>>(const std::vector<GenerateRequest>&,
                                                             const EndedRequest&)>& run);

// Whole, log-probs left out. Reading throws Json::exception.
Json to_json(const Completion& completion);
Completion completion_from_json(const Json& json);

}  // namespace temper

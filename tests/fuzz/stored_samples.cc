// Lines of samples as the whole input: read, measured in every way, written and read again with the same
// figures.
#include "eval/stored_samples.h"

#include "eval/compare_samples.h"
#include "fuzz.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string file = fuzz::scratch().write("s.jsonl", std::string(fuzz::text_of(data, size)));
  StoredSamples stored;
  if (!fuzz::reads([&] { stored = stored_samples(read_records({file})); })) return 0;
  fuzz::reads([&] { compare_samples(stored, stored, 0.95, 1); });
  EvalOptions options;
  options.by = {"level"};
  options.extrapolate = {1000};
  options.verifier = stored.result.reward_names.empty() ? "" : stored.result.reward_names.front();
  fuzz::reads([&] { measure_stored(stored, options); });
  if (!fuzz::reads([&] { measure_stored(stored, {}); })) return 0;
  std::string again;
  for (const EvalSample& sample : stored.result.samples)
    again += dump_line(stored.result.sample_json(sample, stored.prompts, stored.has_ids)) + "\n";
  fuzz::reads([&] {
    StoredSamples second = stored_samples(read_records({fuzz::scratch().write("again.jsonl", again)}));
    measure_stored(second, {});
    fuzz::promise(fuzz::dumped(second.result.to_json()["figures"]["accuracy"]) ==
                      fuzz::dumped(stored.result.to_json()["figures"]["accuracy"]),
                  "another accuracy the second time");
  });
  return 0;
}

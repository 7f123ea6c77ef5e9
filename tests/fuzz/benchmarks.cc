// A file of a benchmark as the whole input, as JSONL, JSON and CSV of every format. What is read is a record
// that the encoder takes for a prompt, and its answer is there.
#include "data/benchmarks.h"

#include "data/source/csv.h"
#include "fuzz.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  for (const char* name : {"f.jsonl", "f.json", "f.csv"}) {
    const std::string file = fuzz::scratch().write(name, text);
    for (const std::string& format : benchmark_names()) {
      fuzz::reads([&] {
        for (Record& record : read_benchmark({file}, format)) {
          fuzz::promise(has_column(record.json, "prompt") && has_column(record.json, "answer"), "no answer");
          ask_as_chat(record);
          fuzz::promise(record.json["prompt"].is_array(), "a prompt that is no text");
        }
      });
    }
  }
  fuzz::reads([&] {
    for (const CsvRow& row : read_csv(text, "f")) fuzz::promise(!row.fields.empty(), "a row without fields");
  });
  return 0;
}

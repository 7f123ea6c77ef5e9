// A file of data as the whole input, whatever holds it, in every format. What is read is a record whose kind
// is known, or is refused.
#include "data/formats/format.h"
#include "fuzz.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  for (const char* name : {"f.json", "f.csv", "f.tsv"}) {
    const std::string file = fuzz::scratch().write(name, text);
    std::vector<Record> records;
    if (!fuzz::reads([&] { records = read_records({file}); })) continue;
    fuzz::promise(!records.empty(), "a file without records");
    for (const std::string& format : data_format_names()) {
      for (const bool renamed : {false, true}) {
        RecordFormat as;
        as.name = format;
        if (renamed) {
          as.columns.prompt = "question";
          as.columns.system = "system";
          as.tags.role = "who";
        }
        std::vector<Record> made = records;
        if (!fuzz::reads([&] { apply_format(made, as); })) continue;
        fuzz::promise(!made.empty(), "a file of which nothing is left");
        for (const Record& record : made) {
          fuzz::promise(record.json.is_object(), "a record that is no object");
          fuzz::reads([&] { record_kind(record); });
        }
      }
    }
  }
  return 0;
}

// JSONL as the whole input, read as every kind of record.
#include "data/records.h"

#include "data/groups.h"
#include "data/pair_forms.h"
#include "data/select/select.h"
#include "fuzz.h"
#include "text/template.h"
#include "text/tokenizer.h"

using namespace temper;

namespace {

void encode_all(const RecordEncoder& encoder, const std::vector<Record>& records) {
  for (const Record& record : records) {
    fuzz::reads([&] {
      const Example example = encoder.supervised(record);
      fuzz::promise(example.ids.size() == example.target.size(), "targets that are not the ids'");
    });
    fuzz::reads([&] { encoder.preference(record); });
    fuzz::reads([&] { encoder.unpaired(record); });
    fuzz::reads([&] { encoder.answer(record); });
    fuzz::reads([&] { encoder.demonstrations(record); });
    fuzz::reads([&] { encoder.answers(record); });
    fuzz::reads([&] { encoder.steps(record, {"a", "", "b c"}, "\n"); });
    fuzz::reads([&] { encoder.prompt(record); });
    fuzz::reads([&] { encoder.prompt_text(record); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = Tokenizer::load(TEMPER_SOURCE_DIR "/tests/text/golden/tokenizers/qwen");
  static const ChatTemplate chatml("chatml");
  static const ChatTemplate plain(
      "{% for m in messages %}{{ m.role }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt "
      "%}assistant: "
      "{% endif %}");
  const std::string file = fuzz::scratch().write("r.jsonl", std::string(fuzz::text_of(data, size)));
  std::vector<Record> records;
  if (!fuzz::reads([&] { records = read_records({file}); })) return 0;
  encode_all({*tokenizer, &chatml, {.max_tokens = 40, .overlong = "truncate"}}, records);
  encode_all({*tokenizer, &chatml, {.max_tokens = 4000, .overlong = "drop", .prefix = "<s>x"}}, records);
  encode_all({*tokenizer, &plain, {.max_tokens = 4000, .overlong = "error", .targets = "assistant"}},
             records);
  for (const Record& record : records) {
    fuzz::reads([&] { rated_answers(record); });
    fuzz::reads([&] { prompted_answers(record); });
    fuzz::reads([&] { number_column(record, "reward", "w"); });
    fuzz::reads([&] { text_column(record, "answer", "w"); });
    fuzz::reads([&] {
      for (const Record& answer : answers_of(record)) {
        answer_text(answer);
        answer_reward(answer);
      }
    });
    if (!is_group(record)) continue;
    fuzz::reads([&] { with_labels(record, 0.5); });
    fuzz::reads([&] { rated_alone(record); });
    fuzz::reads([&] {
      std::vector<Json> answers;
      for (const Record& answer : unpacked(record)) answers.push_back(answer.json);
      packed(answers);
    });
  }
  for (const auto& rule : select_registry().entries()) {
    SelectContext context;
    if (rule.name != "dsir") fuzz::reads([&] { rule.make()->select(records, context); });
  }
  for (const int64_t stage : {1, 2}) fuzz::reads([&] { rated_pairs(records, stage, 2); });
  for (const char* form : {"practical", "shared_prefix"})
    fuzz::reads([&] { step_pairs(records, {.form = form}); });
  fuzz::reads([&] { training_texts(records); });
  return 0;
}

// Benchmarks as their files lie about, as records.
#pragma once

#include <string>
#include <vector>

#include "data/records.h"

namespace temper {

// One format. A record of it has "prompt", and "answer"; where there is a worked solution "completion"; of
// questions with choices "question", "choices" and "answer", the letter of the right one, and the prompt
// lists the choices (lettered()). Further columns (level, type, subject ...) travel along.
struct BenchmarkFormat {
  std::string name, summary, source;
  Json (*record)(const Record& line);  // throws UserError for a line of another form
};

// gsm8k, math, arc, mmlu, hellaswag, piqa.
const std::vector<BenchmarkFormat>& benchmark_formats();
std::vector<std::string> benchmark_names();

// The records of files or folders: JSONL, a JSON object a file (.json), or CSV without a header (.csv; mmlu);
// of a folder all of these in it and below it, by name. format "jsonl": records of any format of
// data/formats. A record of a folder has its file's path in "source", and one of mmlu without a subject the
// file's name as "subject". Throws UserError with file and line.
std::vector<Record> read_benchmark(const std::vector<std::string>& paths, const std::string& format);

// A question, a line "A. ..." for each choice, and "Answer:", as MMLU is asked (arXiv 2009.03300). At most 26
// choices.
std::string lettered(const std::string& question, const std::vector<std::string>& choices);
std::string choice_letter(size_t choice);  // "A" ...

// The prompt, if it is a text, as a user's message of a chat; and its completion as the answer to it.
void ask_as_chat(Record& record);

}  // namespace temper

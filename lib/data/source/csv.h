// Tables as text: CSV and TSV.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/records.h"

namespace temper {

// The rows of CSV as RFC 4180 has it: quoted fields may hold separators, line ends and doubled quotes. Lines
// without anything are passed over. `where` names the text. Throws UserError for a quote that does not close.
struct CsvRow {
  std::vector<std::string> fields;
  int64_t line = 0;  // on which it begins, from 1
};
std::vector<CsvRow> read_csv(std::string_view text, const std::string& where, char separator = ',');

// The rows behind the first one, which names the columns, as records. A cell is text, whatever it looks like,
// so that an answer "3" stays one; an empty cell is null; one that holds a chat as JSON ([{"role": ...}]) is
// that chat. A column without a name (the row numbers that pandas writes) is left out. Throws UserError with
// file and line for rows of another length than the first, names that stand twice and invalid UTF-8.
void csv_records(std::string_view text, const std::string& file, char separator,
                 const std::function<void(Record)>& take);

}  // namespace temper

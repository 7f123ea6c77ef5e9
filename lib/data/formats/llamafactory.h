// LLaMA-Factory's dataset_info.json: how the files beside it are to be read (its data/README.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/formats/format.h"

namespace temper::formats {

// An entry of dataset_info.json whose "file_name" is the file.
struct ListedFile {
  std::string name, info;  // of the entry, and the file that it stands in
  std::string formatting = "alpaca";
  bool ranking = false;
  // "prompt" -> its column, and so on, with LLaMA-Factory's defaults for what the entry leaves out.
  std::map<std::string, std::string> columns;
  TagNames tags;
};

// Looks in the file's folder and in the one above; none: no dataset_info.json there names it. Throws
// UserError for an entry that asks for what is not read here, and for two that differ.
std::optional<ListedFile> find_listed(const std::string& file);

// The format that the entry's records have then: "alpaca" or "sharegpt".
const DataFormat& listed_format(const ListedFile& listed);

// The record in the columns of that format; what the entry does not list of them is left out, as
// LLaMA-Factory leaves it out. Throws UserError for a column that is not there.
Json as_listed(const Record& record, const ListedFile& listed);

}  // namespace temper::formats

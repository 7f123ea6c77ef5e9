#include "env/tools/search.h"

#include "base/error.h"
#include "base/file.h"
#include "data/records.h"
#include "env/tools/bm25.h"
#include "jinja/text.h"

namespace temper {
namespace {

std::vector<std::string> paragraphs(const std::string& file) {
  const std::string text = read_file(file);
  if (!jinja::valid_utf8(text)) user_error("{}: expected a text in UTF-8", file);
  std::vector<std::string> out(1);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
      if (!out.back().empty()) out.emplace_back();
    } else {
      if (!out.back().empty()) out.back() += '\n';
      out.back() += line;
    }
    begin = end + 1;
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

std::vector<std::string> passages_of(const std::vector<std::string>& files, const std::string& column) {
  std::vector<std::string> out;
  for (const std::string& file : files) {
    if (!file.ends_with(".jsonl")) {
      for (std::string& passage : paragraphs(file)) out.push_back(std::move(passage));
      continue;
    }
    for (const Record& record : read_records({file})) {
      std::string text = text_column(record, column, "tool search");
      if (has_column(record.json, "title")) text = text_column(record, "title", "tool search") + "\n" + text;
      out.push_back(std::move(text));
    }
  }
  if (out.empty()) user_error("tool search: {} holds no passage", files.front());
  return out;
}

std::vector<std::vector<std::string>> words_of_all(const std::vector<std::string>& passages) {
  std::vector<std::vector<std::string>> out;
  size_t words = 0;
  for (const std::string& passage : passages) {
    out.push_back(search_words(passage));
    words += out.back().size();
  }
  if (words == 0) user_error("tool search: there is no word in any passage");
  return out;
}

class Search : public Tool {
 public:
  Search(ToolSignature signature, const SearchOptions& options)
      : Tool(std::move(signature)),
        passages_(passages_of(options.files, options.column)),
        index_(words_of_all(passages_), options.k1, options.b),
        results_(static_cast<size_t>(options.results)) {}

  ToolResult call(const Json& arguments) override {
    const auto found = index_.search(search_words(arguments["query"].get<std::string>()), results_);
    if (found.empty()) return {"Nothing was found."};
    std::string out;
    for (size_t i = 0; i < found.size(); ++i)
      out += fmt::format("{}[{}] {}", i == 0 ? "" : "\n\n", i + 1, passages_[found[i].first]);
    return {std::move(out)};
  }

 private:
  std::vector<std::string> passages_;
  Bm25 index_;
  size_t results_;
};

}  // namespace

SearchOptions::SearchOptions() {
  name = "search";
  description = "Finds passages by the words of a query.";
}

void SearchOptions::fields(FieldVisitor& v) {
  ToolOptions::fields(v);
  v.field("files", files,
          {.help = "what is searched: .jsonl, a passage a line; any other text, passages between empty lines",
           .required = true,
           .path = true});
  v.field("column", column, {.help = "of .jsonl: the column with the passage"});
  v.field("results", results, {.help = "passages that a call gives", .min = 1, .max = 1000});
  v.field("k1", k1, {.help = "how fast a word counts less when it stands again", .min = 0, .max = 100});
  v.field("b", b, {.help = "how much long passages count less", .min = 0, .max = 1});
}

void SearchOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (files.empty()) problems.push_back(where + ".files: expected at least one file");
}

std::vector<std::unique_ptr<Tool>> SearchOptions::make() const {
  std::vector<std::unique_ptr<Tool>> out;
  out.push_back(std::make_unique<Search>(
      ToolSignature{name, description, one_parameter("query", "string", "words to look for")}, *this));
  return out;
}

}  // namespace temper

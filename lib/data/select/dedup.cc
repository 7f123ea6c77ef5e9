// dedup: drops what says the same as a record before it, earlier rounds' included.
//   of "completion"  answers to one prompt are compared with each other
//   of "prompt"      records by what they ask; the first of each stays, a group as a whole
//   same "exact", "folded": equal texts, equal but for case and white space. "ngrams": of the sets A and B of
//   n-grams of words, |A and B| / |A or B| is at least `overlap`; counted exactly, against every record that
//   stayed.
#include <map>

#include "base/error.h"
#include "data/select/rules.h"
#include "data/select/text.h"

namespace temper {
namespace {

// Texts that stayed, and whether another says the same as one of them.
class SeenTexts {
 public:
  virtual ~SeenTexts() = default;
  virtual bool has(const std::string& text) const = 0;
  virtual void add(const std::string& text) = 0;
};

class SeenKeys : public SeenTexts {
 public:
  explicit SeenKeys(std::string how) : how_(std::move(how)) {}
  bool has(const std::string& text) const override { return keys_.count(text_key(text, how_)) > 0; }
  void add(const std::string& text) override { keys_.insert(text_key(text, how_)); }

 private:
  std::string how_;
  std::set<std::string> keys_;
};

class SeenNgrams : public SeenTexts {
 public:
  SeenNgrams(int64_t n, double overlap) : n_(n), overlap_(overlap) {}
  bool has(const std::string& text) const override {
    const auto grams = word_ngrams(punctuated_words(text), n_);
    if (grams.empty()) return no_words_;
    std::map<size_t, size_t> shared;  // with each text that shares any
    for (const std::string& gram : grams) {
      const auto found = texts_of_.find(gram);
      if (found == texts_of_.end()) continue;
      for (const size_t text : found->second) ++shared[text];
    }
    for (const auto& [text, count] : shared) {
      const size_t all = grams.size() + sizes_[text] - count;
      if (static_cast<double>(count) >= overlap_ * static_cast<double>(all)) return true;
    }
    return false;
  }
  void add(const std::string& text) override {
    const auto grams = word_ngrams(punctuated_words(text), n_);
    no_words_ = no_words_ || grams.empty();
    for (const std::string& gram : grams) texts_of_[gram].push_back(sizes_.size());
    sizes_.push_back(grams.size());
  }

 private:
  int64_t n_;
  double overlap_;
  std::map<std::string, std::vector<size_t>> texts_of_;
  std::vector<size_t> sizes_;
  bool no_words_ = false;
};

struct Dedup : SelectOptions {
  std::string of = "completion", same = "folded";
  int64_t n = 3;
  double overlap = 0.8;

  void fields(FieldVisitor& v) override {
    v.field(
        "of", of,
        {.help = "what is compared: a prompt's completions with each other, or the prompts of all records",
         .choices = {"completion", "prompt"}});
    v.field(
        "same", same,
        {.help = "exact: equal texts. folded: equal but for case and white space. ngrams: by the share of "
                 "n-grams of words that both have",
         .choices = {"exact", "folded", "ngrams"}});
    if (same != "ngrams") return;
    v.field("n", n, {.help = "words of an n-gram", .min = 1});
    v.field("overlap", overlap,
            {.help = "smallest share, of the n-grams of either text, that both have", .min = 0, .max = 1});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (same == "ngrams" && !(overlap > 0)) problems.push_back(where + ".overlap: must be above 0");
  }

  std::unique_ptr<SeenTexts> nothing() const {
    if (same == "ngrams") return std::make_unique<SeenNgrams>(n, overlap);
    return std::make_unique<SeenKeys>(same);
  }

  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    const bool prompts = of == "prompt";
    // Single answers, or records as they are.
    const auto parts = [&](const Record& record) {
      return prompts ? std::vector<Record>{record} : answers_of(record);
    };
    std::map<std::string, std::unique_ptr<SeenTexts>> seen;  // of each prompt; one for all prompts
    const auto among = [&](const Record& record) -> SeenTexts& {
      auto& place = seen[prompts ? "" : record.json["prompt"].dump()];
      if (place == nullptr) place = nothing();
      return *place;
    };
    const auto text = [&](const Record& record) {
      return prompts ? prompt_words(record) : answer_text(record);
    };
    for (const Record& record : context.earlier) {
      for (const Record& one : parts(record)) among(one).add(text(one));
    }
    std::vector<Record> out;
    int64_t all = 0;
    for (const Record& record : in) {
      for (Record& one : parts(record)) {
        ++all;
        const std::string words = text(one);
        if (among(one).has(words)) continue;
        among(one).add(words);
        out.push_back(std::move(one));
      }
    }
    context.figures.emplace_back("records", static_cast<double>(all));
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }
};

}  // namespace

std::unique_ptr<SelectOptions> select_dedup() {
  return std::make_unique<Dedup>();
}

}  // namespace temper

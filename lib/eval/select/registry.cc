// Every selector that a command line can name.
#include "base/error.h"
#include "base/json.h"
#include "eval/select/selectors.h"

namespace temper {
namespace {

template <class Options>
std::unique_ptr<SelectorOptions> make() {
  return std::make_unique<Options>();
}

struct SelectorFields : Fields {
  std::vector<SelectorEntry> entries;
  void fields(FieldVisitor& v) override { v.list("select", entries, "selectors"); }
};

}  // namespace

const Registry<SelectorOptions>& selector_registry() {
  static const Registry<SelectorOptions> registry = [] {
    Registry<SelectorOptions> r("selector");
    r.add({"majority", "the most frequent answer", "self-consistency, Wang et al., arXiv 2203.11171",
           make<MajorityOptions>});
    r.add({"weighted", "the answer whose candidates' scores sum up to most",
           "easy-to-hard, Sun et al., arXiv 2403.09472; clusters: Liu et al., arXiv 2310.10047",
           make<WeightedOptions>});
    r.add({"best", "the candidate that a reward scores highest: best of n, RM@n",
           "Qwen2.5-Math, arXiv 2409.12122", make<BestOfOptions>});
    r.add({"best_of_majority", "of the frequent answers those that a reward scores highest",
           "Best-of-Majority, Di et al., 2025", make<BestOfMajorityOptions>});
    r.add({"mbr", "the candidate that is most like the others: minimum Bayes risk, vote by similarity",
           "Suzgun et al., arXiv 2211.07634; with bleu: Li et al., arXiv 2402.05120", make<MbrOptions>});
    r.add({"knockout", "the winner of a tournament of pairs before a judge", "Chen et al., arXiv 2411.19477",
           make<KnockoutOptions>});
    r.add({"verify", "the candidate that a verifier believes most, close ones compared by a judge",
           "Zhao et al., Sample, Scrutinize and Scale, arXiv 2502.01839", make<VerifyOptions>});
    return r;
  }();
  return registry;
}

void SelectorEntry::fields(FieldVisitor& v) {
  v.field("name", name, {.help = "its name in figures; empty: the kind"});
  v.choice_here("kind", options, kind, selector_registry());
}

void SelectorEntry::check(std::vector<std::string>& problems, const std::string& where) const {
  if (options == nullptr) problems.push_back(where + ".kind: expected a selector, such as \"majority\"");
}

std::vector<SelectorEntry> read_selectors(const std::vector<std::string>& texts, const std::string& option) {
  Json list = Json::array();
  for (const std::string& text : texts)
    list.push_back(!text.empty() && text[0] == '{' ? parse_json(text, option) : Json{{"kind", text}});
  SelectorFields fields;
  read_fields(fields, {{"select", list}}, option, ".");
  std::vector<SelectorEntry>& entries = fields.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name.empty()) entries[i].name = entries[i].kind;
    for (size_t j = 0; j < i; ++j)
      if (entries[j].name == entries[i].name)
        user_error("{}: two selectors are called \"{}\"; give one a \"name\"", option, entries[i].name);
  }
  return std::move(entries);
}

}  // namespace temper

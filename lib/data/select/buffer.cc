// buffer: the right solutions of each prompt that were found so far, and beginnings of wrong ones that are
// right as far as they go (Ni et al., arXiv 2205.14318; code microsoft/TraceCodegen). What was kept in
// earlier rounds and the record's own solution come first; a solution that says the same as one before it is
// dropped, and one that is much longer than the shortest. Of a wrong solution the longest beginning stays
// after which the values computed so far are those of a right solution after some step; it is marked as
// unfinished, so that it is learnt without an end token.
#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "data/groups.h"
#include "data/select/begun.h"
#include "data/select/rules.h"
#include "data/select/states.h"
#include "data/select/text.h"

namespace temper {
namespace {

struct Buffer : SelectOptions {
  double min = kGoodReward, length_ratio = 2;
  int64_t most = 16;
  bool partial = true;
  std::string reference = "reference";

  void fields(FieldVisitor& v) override {
    v.field("min", min, {.help = "smallest reward of a right solution"});
    v.field("reference", reference, {.help = "the column with a known right solution, where there is one"});
    v.field("length_ratio", length_ratio,
            {.help = "longest solution that is kept, in lengths of the shortest", .min = 1});
    v.field("most", most, {.help = "most solutions of a prompt, the earliest found", .min = 1});
    v.field("partial", partial,
            {.help = "keep beginnings of wrong solutions that are right as far as they go"});
  }

  struct Known {
    std::vector<Record> right, begun;
    std::set<std::string> keys;
    std::set<SolutionState> states;  // of right solutions, after each of their steps
    size_t shortest = SIZE_MAX;
  };

  void add_right(Known& known, const Record& solution) const {
    const std::string text = answer_text(solution);
    if (static_cast<int64_t>(known.right.size()) >= most) return;
    if (known.shortest != SIZE_MAX &&
        static_cast<double>(text.size()) > length_ratio * static_cast<double>(known.shortest))
      return;
    if (!known.keys.insert(text_key(text, "folded")).second) return;
    known.shortest = std::min(known.shortest, text.size());
    for (const SolutionState& state : solution_states(solution_steps(text)))
      if (!state.empty()) known.states.insert(state);
    known.right.push_back(solution);
  }

  void add_begun(Known& known, const Record& wrong) const {
    const std::vector<std::string> steps = solution_steps(answer_text(wrong));
    const std::vector<SolutionState> states = solution_states(steps);
    size_t last = steps.empty() ? 0 : steps.size() - 1;  // all of it is wrong
    while (last > 0 && known.states.count(states[last - 1]) == 0) --last;
    if (last == 0) return;
    std::string text;
    for (size_t i = 0; i < last; ++i) text += steps[i];
    for (const Record& right : known.right)
      if (answer_text(right).starts_with(text)) return;  // nothing new
    if (static_cast<int64_t>(known.begun.size()) >= most ||
        !known.keys.insert(text_key(text, "folded")).second)
      return;
    Record begun = wrong;
    begun.json["completion"] = completion_like(wrong, text);
    begun.json["unfinished"] = {"completion"};
    known.begun.push_back(std::move(begun));
  }

  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<std::string> order;
    std::map<std::string, Known> of_prompt;
    std::map<std::string, std::vector<Record>> wrong;
    const auto known = [&](const Record& answer) -> Known& {
      const std::string key = answer.json["prompt"].dump();
      const auto [it, is_new] = of_prompt.try_emplace(key);
      if (is_new) order.push_back(key);
      return it->second;
    };
    for (const Record& kept : context.earlier) {
      if (!is_unfinished(kept, "completion")) add_right(known(kept), kept);
    }
    int64_t answers = 0, found = 0;
    for (AnswerGroup& group : rewarded_groups(in, "buffer", context)) {
      for (Record& sampled : group.answers) {
        Record answer = whole_answer(std::move(sampled));
        Known& k = known(answer);
        if (has_column(answer.json, reference)) {
          Record own = answer;
          own.json["completion"] = own.json[reference];
          own.json.erase("unfinished");
          add_right(k, own);
        }
        ++answers;
        if (*answer_reward(answer) >= min && !is_unfinished(answer, "completion")) {
          const size_t before = k.right.size();
          add_right(k, answer);
          found += static_cast<int64_t>(k.right.size() - before);
        } else {
          wrong[answer.json["prompt"].dump()].push_back(std::move(answer));
        }
      }
    }
    std::vector<Record> out;
    int64_t begun = 0;
    for (const Record& kept : context.earlier) {
      if (partial && is_unfinished(kept, "completion"))
        add_begun(of_prompt[kept.json["prompt"].dump()], kept);
    }
    for (const std::string& key : order) {
      Known& k = of_prompt[key];
      if (partial)
        for (const Record& answer : wrong[key]) add_begun(k, answer);
      begun += static_cast<int64_t>(k.begun.size());
      out.insert(out.end(), k.right.begin(), k.right.end());
      out.insert(out.end(), k.begun.begin(), k.begun.end());
    }
    context.figures.emplace_back("found", static_cast<double>(found));
    context.figures.emplace_back("begun", static_cast<double>(begun));
    context.figures.emplace_back(
        "found_share", answers == 0 ? 0 : static_cast<double>(found) / static_cast<double>(answers));
    return out;
  }
};

// Where the next solutions begin: each prompt of the records, and each with an unfinished completion behind
// it.
struct Openings : SelectOptions {
  void fields(FieldVisitor&) override {}

  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<Record> out;
    std::set<std::string> seen;
    for (const Record& record : in) {
      Record plain{prompt_columns(record.json), record.file, record.line};
      if (seen.insert(plain.json["prompt"].dump()).second) out.push_back(plain);
      if (!is_unfinished(record, "completion")) continue;
      const std::string begun = answer_text(record);
      plain.json["asked"] = plain.json["prompt"];
      plain.json["begun"] = begun;
      put_behind(plain, begun);
      out.push_back(std::move(plain));
    }
    context.figures.emplace_back("prompts", static_cast<double>(seen.size()));
    return out;
  }
};

}  // namespace

std::unique_ptr<SelectOptions> select_buffer() {
  return std::make_unique<Buffer>();
}

std::unique_ptr<SelectOptions> select_openings() {
  return std::make_unique<Openings>();
}

}  // namespace temper

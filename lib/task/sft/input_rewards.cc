// Input transforms that read a reward of each record (Korbak et al., arXiv 2302.08582; the code's scores are
// minus the reward):
// Files of data.train without that column stay as they are: plain text that is mixed in (data.weights).
//   filter       leaves out records with a reward below `min`
//   conditional  writes `good` before a record whose reward reaches `threshold`, else `bad`; nothing for the
//                share `drop` of draws. Where the column holds segments (temper-eval --score --segments),
//                before each of them: the first one's before all, where --prefix puts it, and the others'
//                between their tokens, none before a segment whose reward is null; each is dropped on its
//                own. Held-out records get `good`, and evaluations may not generate either. The texts need no
//                tokens of their own: they are ordinary text, or one id where the tokenizer has an added
//                token of that name. They are never targets (in the code they are); generate with
//                "data.prefix" or --prefix, and ban both.
#include <map>

#include "base/error.h"
#include "base/random.h"
#include "task/sft/input_kinds.h"
#include "task/sft/rewards.h"
#include "train/session.h"

namespace temper {
namespace {

struct FilterOptions : InputOptions {
  std::string column = "reward";
  double min = 0.5;
  void fields(FieldVisitor& v) override {
    v.field("column", column, {.help = "the column of the reward"});
    v.field("min", min,
            {.help = "records with a lower reward are left out; 0.5 lies between rewards of 0 and 1"});
  }
  std::unique_ptr<InputTransform> make() const override;
};

struct Filter : InputTransform {
  explicit Filter(FilterOptions o) : options(std::move(o)) {}
  void records(Session& s) override {
    const size_t before = s.train_records.size();
    const auto files = files_with(s.train_records, options.column, "inputs.filter");
    s.train_records.erase_if([&](const Record& record) {
      return files.count(record.file) > 0 &&
             number_column(record, options.column, "inputs.filter") < options.min;
    });
    if (s.train_records.empty()) {
      user_error("inputs.filter: no record of data.train, of {}, has {} of at least {}", before,
                 options.column, options.min);
    }
    s.progress->message(
        fmt::format("filter: {} of {} records are left, those with a lower {} than {} are not",
                    s.train_records.size(), before, options.column, options.min));
  }
  FilterOptions options;
};

std::unique_ptr<InputTransform> FilterOptions::make() const {
  return std::make_unique<Filter>(*this);
}

struct ConditionalOptions : InputOptions {
  std::string column = "reward", good = "<|good|>", bad = "<|bad|>";
  double threshold = 0.5, drop = 0.01;
  void fields(FieldVisitor& v) override {
    v.field("column", column, {.help = "the column of the reward, or of segments with one each"});
    v.field("threshold", threshold,
            {.help = "smallest reward of a good record; 0.5 lies between rewards of 0 and 1"});
    v.field("good", good, {.help = "text before good records"});
    v.field("bad", bad, {.help = "text before the others"});
    v.field("drop", drop, {.help = "share of examples that get none", .min = 0, .max = 1});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (good.empty() || bad.empty() || good == bad)
      problems.push_back(where + ": good and bad must be two different texts");
  }
  std::unique_ptr<InputTransform> make() const override;
};

struct Conditional : InputTransform {
  explicit Conditional(ConditionalOptions o) : options(std::move(o)) {}
  void records(Session& s) override {
    const auto files = files_with(s.train_records, options.column, "inputs.conditional");
    size_t good = 0, all = 0;
    const auto control = [&](double reward) {
      good += reward >= options.threshold ? 1 : 0;
      ++all;
      return control_text(reward);
    };
    for (Record& record : s.train_records.held(kWho)) {
      if (files.count(record.file) == 0) continue;
      if (!in_segments(record, options.column)) {
        record.prefix += control(number_column(record, options.column, kWho));
        continue;
      }
      bool first = true;
      for (const auto& reward : segment_rewards(record, options.column, kWho)) {
        const std::string text = reward ? control(*reward) : "";
        if (first) record.prefix += text;
        first = false;
      }
    }
    s.progress->message(
        fmt::format("conditional: {} of {} records or segments have {} of at least {}{}", good, all,
                    options.column, options.threshold,
                    good > 0 && good < all ? ""
                                           : ", so all have the same control token: it will say nothing; see "
                                             "inputs.conditional.threshold"),
        good > 0 && good < all ? LogLevel::kInfo : LogLevel::kWarning);
    for (Record& record : s.eval_records.held(kWho)) record.prefix += options.good;
    s.banned.push_back(options.good);
    s.banned.push_back(options.bad);
  }
  bool changes_examples() const override { return true; }
  // What is longer than max_tokens with them is cut.
  void example(Session& s, int64_t at_record, const Record& record, RewardedExample& e) override {
    if (!in_segments(record, options.column)) return;
    const auto runs = segment_runs(*s.tokenizer, record, e, options.column, kWho);
    std::vector<Control> inserted;
    int64_t more = 0;
    for (size_t k = 1; k < runs.size(); ++k) {
      if (!runs[k].reward) continue;
      const auto ids = s.tokenizer->encode(control_text(*runs[k].reward), {.parse_special = true});
      const int64_t at = runs[k].begin + more;
      const auto end = at + static_cast<int64_t>(ids.size());
      if (end >= s.config.data.max_tokens) break;
      insert_tokens(e, at, ids);
      inserted.push_back({at, end});
      more += end - at;
    }
    const auto size = std::min(static_cast<int64_t>(e.ids.size()), s.config.data.max_tokens);
    erase_tokens(e, size, static_cast<int64_t>(e.ids.size()));
    for (Control& c : inserted) c = {size - c.begin, size - c.end};
    controls[at_record] = std::move(inserted);
  }
  void step(Session& s, std::vector<Drawn>& drawn) override {
    for (size_t i = 0; i < drawn.size(); ++i) {
      RandomStream random(static_cast<uint64_t>(s.config.seed), "conditional",
                          static_cast<uint64_t>(s.state.step), i);
      const bool drops_first = random.uniform() < options.drop;
      RewardedExample& e = drawn[i].example;
      if (const auto of_record = controls.find(drawn[i].record); of_record != controls.end()) {
        for (const Control& c : of_record->second) {
          const auto size = static_cast<int64_t>(e.ids.size());
          if (random.uniform() < options.drop) erase_tokens(e, size - c.begin, size - c.end);
        }
      }
      if (!drops_first) continue;
      erase_tokens(e, e.prefix_begin, e.prefix_begin + e.prefix_tokens);
      e.prompt_tokens -= e.prefix_tokens;
      e.prefix_tokens = 0;
    }
  }
  std::string control_text(double reward) const {
    return reward >= options.threshold ? options.good : options.bad;
  }

  static constexpr const char* kWho = "inputs.conditional";
  struct Control {
    int64_t begin, end;  // in the example, counted from its end: other transforms put tokens in before
  };
  ConditionalOptions options;
  std::map<int64_t, std::vector<Control>> controls;  // between the segments of a record's example
};

std::unique_ptr<InputTransform> ConditionalOptions::make() const {
  return std::make_unique<Conditional>(*this);
}

}  // namespace

std::unique_ptr<InputOptions> filter_input() {
  return std::make_unique<FilterOptions>();
}
std::unique_ptr<InputOptions> conditional_input() {
  return std::make_unique<ConditionalOptions>();
}

}  // namespace temper

// Input transforms that read a reward of each record (Korbak et al., arXiv 2302.08582; the code's scores are
// minus the reward):
// Files of data.train without that column stay as they are: plain text that is mixed in (data.weights).
//   filter       leaves out records with a reward below `min`
//   conditional  writes `good` before a record whose reward reaches `threshold`, else `bad`; nothing for the
//                share `drop` of draws. Held-out records get `good`, and evaluations may not generate either.
//                The texts need no tokens of their own: they are ordinary text, or one id where the tokenizer
//                has an added token of that name. They are never targets (in the code they are); generate
//                with "data.prefix" or --prefix, and ban both.
#include "base/error.h"
#include "base/random.h"
#include "task/sft/input_kinds.h"
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
    std::erase_if(s.train_records, [&](const Record& record) {
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
    v.field("column", column, {.help = "the column of the reward"});
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
    for (Record& record : s.train_records) {
      if (files.count(record.file) == 0) continue;
      const bool reaches = number_column(record, options.column, "inputs.conditional") >= options.threshold;
      record.prefix += reaches ? options.good : options.bad;
      good += reaches ? 1 : 0;
      ++all;
    }
    s.progress->message(
        fmt::format("conditional: {} of {} records have {} of at least {}{}", good, all, options.column,
                    options.threshold,
                    good > 0 && good < all ? ""
                                           : ", so all have the same control token: it will say nothing; see "
                                             "inputs.conditional.threshold"),
        good > 0 && good < all ? LogLevel::kInfo : LogLevel::kWarning);
    for (Record& record : s.eval_records) record.prefix += options.good;
    s.banned.push_back(options.good);
    s.banned.push_back(options.bad);
  }
  void step(Session& s, std::vector<Drawn>& drawn) override {
    for (size_t i = 0; i < drawn.size(); ++i) {
      RandomStream random(static_cast<uint64_t>(s.config.seed), "conditional",
                          static_cast<uint64_t>(s.state.step), i);
      if (random.uniform() >= options.drop) continue;
      Example& e = drawn[i].example;
      erase_tokens(e, e.prefix_begin, e.prefix_begin + e.prefix_tokens);
      e.prompt_tokens -= e.prefix_tokens;
      e.prefix_tokens = 0;
    }
  }
  ConditionalOptions options;
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

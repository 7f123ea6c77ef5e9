// The sections of a config that supervised fine-tuning has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/select/select.h"
#include "objective/supervised/supervised.h"
#include "task/sft/inputs.h"
#include "task/sft/multistage.h"
#include "train/task.h"

namespace temper {

struct SftTask : Task {
  std::string loss_name = "nll";
  std::unique_ptr<objective::SupervisedOptions> loss;
  std::vector<InputEntry> inputs;
  std::string filter_kind;
  std::unique_ptr<MultistageOptions> filter;  // null: every example that is drawn is learnt
  std::string reward_column = "reward";       // of losses that read rewards
  std::string select_name;                    // how groups of answers are learnt from; empty: not
  std::unique_ptr<SelectOptions> select;
  std::vector<double> weights, end_weights;  // shares of the files of data.train; see draws.h

  void fields(FieldVisitor& v) override;
  void data_fields(FieldVisitor& v) override;
  bool learns_completions() const override { return true; }
  Observes observes() const override { return Observes::kExamples; }
  // What is learnt of the records: of groups of answers, and with `select` of lines of scored answers, some;
  // the others as they are. figures: for people, where there are answers to choose from. Throws UserError.
  std::vector<Record> chosen(const RunConfig& config, std::vector<Record> records,
                             std::string* figures = nullptr) const;
  bool chooses() const;  // whether it makes anything else of records
  void check_run(const RunConfig& config, std::vector<std::string>& problems) const override;
  Heads heads(const RunConfig& config, const Records* records, const Tokenizer* tokenizer) const override;
  std::string method() const override;
  std::optional<FirstConfig> first_config() const override;
  void train(Session& session) const override;  // sft.cc
};

}  // namespace temper

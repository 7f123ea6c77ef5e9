// Loss and perplexity of stored texts, completions and chats, file by file.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "data/benchmarks.h"
#include "data/records.h"
#include "eval/loss.h"
#include "model/model.h"
#include "named_files.h"
#include "train/held_out_loss.h"

namespace temper {

// A file of --loss, encoded.
struct LossFile {
  std::string name;
  std::vector<Example> examples;
  size_t left_out = 0;  // records that are longer than a pass may be
};

// The files of --loss, in a format of benchmarks. limit: the first records of each; 0: all. Throws UserError
// for a name that is there twice and a file of which nothing fits.
inline std::vector<LossFile> read_loss_files(const std::vector<std::string>& arguments,
                                             const std::string& format, const RecordEncoder& encoder,
                                             int64_t limit, int64_t max_tokens) {
  std::vector<LossFile> out;
  for (const auto& [argument, name, path] : named_files("--loss", arguments)) {
    LossFile file{name};
    std::vector<Record> records = read_benchmark({path}, format);
    if (limit > 0 && records.size() > static_cast<size_t>(limit)) records.resize(static_cast<size_t>(limit));
    for (const std::string& remark : encoder.remarks(records)) log_warning("--loss {}: {}", path, remark);
    for (const Record& record : records) {
      Example example = encoder.supervised(record);
      if (!has_target(example)) continue;
      file.examples.push_back(std::move(example));
    }
    file.left_out = records.size() - file.examples.size();
    if (file.examples.empty())
      user_error("--loss {}: none of the {} records has a target within {} tokens", path, records.size(),
                 max_tokens);
    if (file.left_out > 0)
      log_warning("--loss {}: {} of {} records are longer than {} tokens and left out", path, file.left_out,
                  records.size(), max_tokens);
    out.push_back(std::move(file));
  }
  return out;
}

// "loss/NAME" and "perplexity/NAME" of each: {"value", "low", "high", "records", "tokens"}, and "left_out"
// where records are; an infinite bound is null. on_pass: after each forward pass, with the file's name and
// how many of its records are done.
inline Json loss_figures(Model& model, const std::vector<LossFile>& files, double level,
                         const std::function<void(const std::string&, size_t)>& on_pass) {
  constexpr int64_t kPassTokens = 4096;  // memory, never results, depends on it
  Json out = Json::object();
  for (const LossFile& file : files) {
    std::vector<RecordLoss> records;
    for (const MicroBatch& batch : whole_batches(file.examples, kPassTokens, model.precision().device)) {
      for (const RecordLoss& record : record_losses(model, batch)) records.push_back(record);
      on_pass(file.name, records.size());
    }
    const LossFigure figure = loss_figure(records, level);
    const auto row = [&](double value, const Interval& interval) {
      Json out = {{"value", value},
                  {"low", interval.low},
                  {"high", interval.high},
                  {"records", figure.records},
                  {"tokens", figure.tokens}};
      if (file.left_out > 0) out["left_out"] = file.left_out;
      return out;
    };
    out["loss/" + file.name] = row(figure.loss, figure.loss_interval);
    out["perplexity/" + file.name] = row(figure.perplexity, figure.perplexity_interval);
  }
  return out;
}

}  // namespace temper

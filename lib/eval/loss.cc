#include "eval/loss.h"

#include <cmath>

#include "base/error.h"

namespace temper {

LossFigure loss_figure(const std::vector<RecordLoss>& records, double level) {
  LossFigure out;
  double nll = 0;
  for (const RecordLoss& r : records) {
    if (r.tokens == 0) continue;
    nll += r.nll;
    out.tokens += r.tokens;
    ++out.records;
  }
  if (out.tokens == 0) bug("loss_figure: no target tokens");
  const auto tokens = static_cast<double>(out.tokens);
  out.loss = nll / tokens;
  std::vector<double> linear;
  for (const RecordLoss& r : records) {
    if (r.tokens == 0) continue;
    const double beyond = r.nll - out.loss * static_cast<double>(r.tokens);
    linear.push_back(out.loss + beyond * static_cast<double>(out.records) / tokens);
  }
  out.loss_interval = mean_interval(linear, level);
  out.perplexity = std::exp(out.loss);
  out.perplexity_interval = {std::exp(out.loss_interval.low), std::exp(out.loss_interval.high)};
  return out;
}

}  // namespace temper

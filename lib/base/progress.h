// The progress of a run: one line redrawn on a terminal, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"

namespace temper {

struct ProgressOptions {
  double redraw_s = 0.1;  // terminal: least time between two redraws
  double plain_step_s =
      1.0;  // elsewhere: least time between two step lines; the first and the last always show
  double plain_inner_s = 10.0;  // elsewhere: an inner() text shows when nothing was printed for this long
  std::function<double()> now;  // seconds of a clock that never goes back; null: the steady clock
};

// rl ━━━━━━━╸──────── 37/100  reward 0.512  kl 0.0013  610 tok/s  4m 12s left  rollout 37/128 done, 5,120
// tokens
//
//   Progress progress(console, steps, "rl", first_done);
//   progress.begin_step(step);                       // 1-based
//   progress.inner("rollout 37/128 done, ...");      // as often as you like
//   progress.end_step({{"reward", 0.5}}, tokens);
class Progress {
 public:
  // done: steps that an earlier part of a resumed run has finished; they do not count for the time left.
  Progress(Console& console, int64_t total_steps, std::string label, int64_t done = 0,
           ProgressOptions options = {});
  ~Progress();  // leaves the last state on the screen as a line

  void begin_step(int64_t step);
  void inner(std::string_view text);
  // shown: the few numbers worth a place on the line; tokens: trained or generated in this step (for
  // tokens/s); note: what else stands there.
  void end_step(const std::vector<std::pair<std::string, double>>& shown, int64_t tokens,
                const std::string& note = "");
  // A line of its own, above the progress line.
  void message(std::string_view line, LogLevel level = LogLevel::kInfo) { console_.line(line, level); }

  double tokens_per_s() const { return tokens_per_s_; }  // of the last step
  double left_s() const;                                 // estimate; negative when unknown

 private:
  std::string text(int width) const;  // the whole line
  void draw(bool force);

  Console& console_;
  int64_t total_, done_, current_;
  std::string label_, numbers_, inner_;
  ProgressOptions options_;
  double begun_s_, last_end_s_, last_draw_s_;  // on options_.now's clock
  double step_s_ = 0, step_weight_ = 0;        // running mean of the seconds from one end_step to the next
  double tokens_per_s_ = 0;
  bool stale_ = false, printed_ = false;
};

// "12s", "4m 12s", "3h 05m", "2d 07h"
std::string format_duration(double seconds);
// 1234567 -> "1,234,567"
std::string format_count(int64_t n);
// Four significant digits, no exponent unless it is much shorter: 0.5123, 12.4, 1.2e-05.
std::string format_value(double value);

}  // namespace temper

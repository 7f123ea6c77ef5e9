#include "base/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace temper {
namespace {

double steady_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string bar(double share, int columns, bool unicode) {
  const char* full = unicode ? "━" : "=";
  const char* half = unicode ? "╸" : ">";
  const char* rest = unicode ? "─" : "-";
  const double filled = std::clamp(share, 0.0, 1.0) * columns;
  std::string out;
  for (int i = 0; i < columns; ++i) {
    out += i + 1 <= filled ? full : i + 0.5 <= filled ? half : rest;
  }
  return out;
}

}  // namespace

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::clamp(seconds, 0.0, 1e12)));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m {:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h {:02}m", s / 3600, s / 60 % 60);
  return fmt::format("{}d {:02}h", s / 86400, s / 3600 % 24);
}

std::string format_count(int64_t n) {
  std::string digits = fmt::format("{}", n < 0 ? 0 - static_cast<uint64_t>(n) : static_cast<uint64_t>(n));
  for (auto i = static_cast<int64_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<size_t>(i), 1, ',');
  return n < 0 ? "-" + digits : digits;
}

std::string format_value(double value) {
  const double size = std::abs(value);
  if (size >= 1000 && size < 9e15 && std::isfinite(value)) return format_count(std::llround(value));
  return fmt::format("{:.4g}", value);
}

Progress::Progress(Console& console, int64_t total_steps, std::string label, int64_t done,
                   ProgressOptions options)
    : console_(console),
      total_(total_steps),
      done_(done),
      current_(done),
      label_(std::move(label)),
      options_(std::move(options)) {
  if (!options_.now) options_.now = steady_s;
  begun_s_ = last_end_s_ = last_draw_s_ = options_.now();
  draw(true);
}

Progress::~Progress() {
  if (!console_.terminal()) return;
  inner_.clear();
  const std::string last = text(console_.width());
  console_.status("");
  console_.line(last);
}

void Progress::begin_step(int64_t step) {
  current_ = step;
  begun_s_ = options_.now();
  inner_.clear();
  draw(false);
}

void Progress::inner(std::string_view text) {
  inner_ = text;
  draw(false);
}

void Progress::end_step(const std::vector<std::pair<std::string, double>>& shown, int64_t tokens,
                        const std::string& note) {
  const double now = options_.now();
  done_ = current_;
  numbers_.clear();
  for (const auto& [name, value] : shown) numbers_ += fmt::format("  {} {}", name, format_value(value));
  if (!note.empty()) numbers_ += "  " + note;
  tokens_per_s_ = static_cast<double>(tokens) / std::max(now - begun_s_, 1e-9);
  // From end to end, so that evaluations and checkpoints between steps count; recent steps weigh more.
  constexpr double kDecay = 0.9;
  step_s_ = kDecay * step_s_ + (1 - kDecay) * (now - last_end_s_);
  step_weight_ = kDecay * step_weight_ + (1 - kDecay);
  last_end_s_ = now;
  inner_.clear();
  draw(false);
}

double Progress::left_s() const {
  if (step_weight_ == 0) return -1;
  const double left = static_cast<double>(total_ - done_) * step_s_ / step_weight_;
  return std::max(0.0, left - (options_.now() - last_end_s_));
}

std::string Progress::text(int width) const {
  std::string pace, inside;
  if (tokens_per_s_ > 0) pace += fmt::format("  {} tok/s", format_count(std::llround(tokens_per_s_)));
  if (step_weight_ > 0 && done_ < total_) pace += fmt::format("  {} left", format_duration(left_s()));
  if (!inner_.empty()) inside = fmt::format("  [step {}] {}", current_, inner_);
  std::string out = fmt::format("{}/{}{}{}{}", done_, total_, numbers_, pace, inside);
  if (!console_.terminal()) return fmt::format("{} {}", label_, out);
  // The bar takes what the text leaves, and goes when that is little. On a narrow screen what moves stays in
  // sight.
  const int fixed = static_cast<int>(label_.size()) + 4;
  if (!inside.empty() && fixed + static_cast<int>(out.size()) > width) {
    out = fmt::format("{}/{}{}", done_, total_, inside);
  }
  const int columns = std::min(24, width - fixed - static_cast<int>(out.size()));
  if (columns < 6) return fmt::format("{} {}", label_, out);
  const double share = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 0;
  return fmt::format("{} {} {}", label_, bar(share, columns, console_.unicode()), out);
}

void Progress::draw(bool force) {
  const double now = options_.now();
  const double since = now - last_draw_s_;
  if (console_.terminal()) {
    if (!force && since < options_.redraw_s) return;
    console_.status(text(console_.width()));
  } else {
    if (force || console_.quiet()) return;
    const bool inside = !inner_.empty();
    const bool step_line = !inside && done_ == current_ && step_weight_ > 0;
    if (!inside && !step_line) return;
    const bool always = step_line && (!printed_ || done_ == total_);
    if (!always && since < (inside ? options_.plain_inner_s : options_.plain_step_s)) return;
    console_.line(text(0));
    if (step_line) printed_ = true;
  }
  last_draw_s_ = now;
}

}  // namespace temper

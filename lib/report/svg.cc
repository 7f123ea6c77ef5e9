#include "report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/json.h"
#include "base/progress.h"

namespace temper {
namespace {

constexpr double kLargest = 1e300;  // larger values are gaps: the axis could not be computed
constexpr double kLeft = 46, kRight = 12, kTop = 8, kBottom = 34;
constexpr size_t kMaxPoints = 2000;

bool drawable(double y, bool log_y) {
  return std::isfinite(y) && std::abs(y) < kLargest && (!log_y || y > 0);
}

// Where things stand on the paper.
struct Frame {
  double width, height, x_low, x_high, y_low, y_high;  // y in log10 units when log_y
  bool log_y;

  double x(double value) const {
    const double share = x_high > x_low ? (value - x_low) / (x_high - x_low) : 0.5;
    return kLeft + share * (width - kLeft - kRight);
  }
  double y(double value) const {
    const double at = log_y ? std::log10(value) : value;
    return height - kBottom - (at - y_low) / (y_high - y_low) * (height - kTop - kBottom);
  }
};

std::string tick_label(double value, bool share) {
  if (share) return fmt::format("{:.6g}%", 100 * value);
  const double size = std::abs(value);
  if (size >= 1e15) return fmt::format("{:.3g}", value);
  if (size >= 1e9) return fmt::format("{:.6g}G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.6g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.6g}k", value / 1e3);
  return fmt::format("{:.6g}", value);
}

// Decades; the twos and fives between them when there are few.
std::vector<double> log_ticks(double low, double high) {
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = std::max(first + 1, static_cast<int>(std::ceil(std::log10(high))));
  const int stride = (last - first + 5) / 6;
  std::vector<double> out;
  for (int e = first; e <= last; e += stride) {
    for (double m : {1.0, 2.0, 5.0}) {
      if (m == 1 || (last - first <= 2 && e < last)) out.push_back(m * std::pow(10.0, e));
    }
  }
  if ((last - first) % stride != 0) out.push_back(std::pow(10.0, last));
  return out;
}

// Smoothed on the scale that it is drawn on.
std::vector<double> calmed(std::vector<double> y, bool log_y) {
  for (double& value : y) value = !drawable(value, log_y) ? kNan : log_y ? std::log(value) : value;
  y = smoothed(y, 0.4 * std::sqrt(static_cast<double>(y.size())));  // calmer where there are more points
  for (double& value : y) value = log_y ? std::exp(value) : value;
  return y;
}

// A path through the points, broken at gaps. A point between two gaps becomes a dot.
std::string line_path(const Frame& frame, const std::vector<double>& x, const std::vector<double>& y,
                      const std::vector<size_t>& which) {
  std::string d;
  bool down = false;
  for (size_t i : which) {
    if (!drawable(y[i], frame.log_y)) {
      down = false;
      continue;
    }
    d += fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", frame.x(x[i]), frame.y(y[i]));
    if (!down) d += "h.01";
    down = true;
  }
  return d;
}

std::string band_path(const Frame& frame, const Series& series, const std::vector<size_t>& which) {
  std::string d;
  std::vector<size_t> run;
  const auto flush = [&] {
    for (size_t k = 0; k < run.size(); ++k) {
      d += fmt::format("{}{:.1f} {:.1f}", k == 0 ? "M" : "L", frame.x(series.x[run[k]]),
                       frame.y(series.high[run[k]]));
    }
    for (size_t k = run.size(); k-- > 0;) {
      d += fmt::format("L{:.1f} {:.1f}", frame.x(series.x[run[k]]), frame.y(series.low[run[k]]));
    }
    if (!run.empty()) d += "Z";
    run.clear();
  };
  for (size_t i : which) {
    const bool whole = drawable(series.low[i], frame.log_y) && drawable(series.high[i], frame.log_y);
    if (whole && drawable(series.y[i], frame.log_y))
      run.push_back(i);
    else
      flush();
  }
  flush();
  return d;
}

std::string draw_series(const Frame& frame, const Series& series, const std::string& x_name) {
  const std::vector<size_t> which = thin(series.y, kMaxPoints);
  std::string out = fmt::format("<g class=\"s{}\">", series.colour);
  if (!series.low.empty())
    out += fmt::format("<path class=\"band\" d=\"{}\"/>", band_path(frame, series, which));
  const bool over = series.smooth && series.y.size() >= 10;
  out += fmt::format("<path class=\"{}\" d=\"{}\"/>", over ? "raw" : "line",
                     line_path(frame, series.x, series.y, which));
  if (over) {
    const std::vector<double> calm = calmed(series.y, frame.log_y);
    out += fmt::format("<path class=\"line\" d=\"{}\"/>", line_path(frame, series.x, calm, which));
  }
  if (series.points) {
    for (size_t i : which) {
      if (!drawable(series.y[i], frame.log_y)) continue;
      std::string tip = fmt::format("{}, {} {}: {}", series.name, x_name, format_value(series.x[i]),
                                    format_value(series.y[i]));
      if (!series.low.empty()) {
        tip += fmt::format(" ({} to {})", format_value(series.low[i]), format_value(series.high[i]));
        if (drawable(series.low[i], frame.log_y) && drawable(series.high[i], frame.log_y)) {
          out += fmt::format("<path class=\"whisker\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>", frame.x(series.x[i]),
                             frame.y(series.low[i]), frame.y(series.high[i]));
        }
      }
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>{}</title></circle>",
                         frame.x(series.x[i]), frame.y(series.y[i]), escape_html(tip));
    }
  }
  return out + "</g>";
}

// "reward, from 0.1 at step 1 to 0.8 at step 200, lowest 0.05, highest 0.9": for those who cannot see the
// curve.
std::string spoken(const Series& series, bool log_y, const std::string& x) {
  size_t first = series.y.size(), last = 0;
  double low = kNan, high = kNan;
  for (size_t i = 0; i < series.y.size(); ++i) {
    if (!drawable(series.y[i], log_y)) continue;
    if (first == series.y.size()) first = i;
    last = i;
    low = std::fmin(low, series.y[i]);
    high = std::fmax(high, series.y[i]);
  }
  return fmt::format("{}, from {} at {} {} to {} at {} {}, lowest {}, highest {}", series.name,
                     format_value(series.y[first]), x, format_value(series.x[first]),
                     format_value(series.y[last]), x, format_value(series.x[last]), format_value(low),
                     format_value(high));
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int count) {
  const double size = std::max(std::abs(low), std::abs(high));
  if (!(high - low > 1e-9 * size)) {
    low = std::min(0.0, 2 * low);
    high = std::max(0.0, 2 * high);
    if (low == high) high = 1;
  }
  const double raw = (high - low) / std::max(count, 1);
  int exponent = static_cast<int>(std::floor(std::log10(raw)));
  double multiple = 1;
  for (double m : {1.0, 2.0, 5.0, 10.0}) {
    multiple = m;
    if (m * std::pow(10.0, exponent) >= raw * (1 - 1e-9)) break;
  }
  // k * 10^-e is kept as a division where it can be: 3 / 10 is the nearest double to 0.3, 3 * 0.1 is not.
  const auto value = [&](double k) {
    return exponent < 0 ? k * multiple / std::pow(10.0, -exponent) : k * multiple * std::pow(10.0, exponent);
  };
  const double step = value(1);
  std::vector<double> out;
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  for (double k = first; k <= last; ++k) out.push_back(k == 0 ? 0.0 : value(k));
  return out;
}

std::vector<size_t> thin(const std::vector<double>& y, size_t limit) {
  std::vector<size_t> out;
  if (y.size() <= limit) {
    for (size_t i = 0; i < y.size(); ++i) out.push_back(i);
    return out;
  }
  const size_t stretches = (limit - 2) / 3;  // each keeps its lowest, its highest and one gap
  out.push_back(0);
  for (size_t s = 0; s < stretches; ++s) {
    const size_t begin = y.size() * s / stretches, end = y.size() * (s + 1) / stretches;
    size_t lowest = end, highest = end, gap = end;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(y[i])) {
        if (gap == end) gap = i;
        continue;
      }
      if (lowest == end || y[i] < y[lowest]) lowest = i;
      if (highest == end || y[i] > y[highest]) highest = i;
    }
    for (size_t i : {lowest, highest, gap}) {
      if (i != end) out.push_back(i);
    }
  }
  out.push_back(y.size() - 1);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<double> smoothed(const std::vector<double>& y, double half_life) {
  const double decay = std::exp2(-1 / std::max(half_life, 1e-9));
  std::vector<double> sums(y.size(), 0.0), weights(y.size(), 0.0);
  // One pass from each side; the point itself is counted by the first only.
  double sum = 0, weight = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    sum = decay * sum + (std::isfinite(y[i]) ? y[i] : 0);
    weight = decay * weight + (std::isfinite(y[i]) ? 1 : 0);
    sums[i] = sum;
    weights[i] = weight;
  }
  sum = weight = 0;
  for (size_t i = y.size(); i-- > 0;) {
    sums[i] += decay * sum;
    weights[i] += decay * weight;
    sum = decay * sum + (std::isfinite(y[i]) ? y[i] : 0);
    weight = decay * weight + (std::isfinite(y[i]) ? 1 : 0);
  }
  std::vector<double> out;
  for (size_t i = 0; i < y.size(); ++i) out.push_back(std::isfinite(y[i]) ? sums[i] / weights[i] : kNan);
  return out;
}

std::string escape_html(std::string_view text) {
  // A round trip through JSON replaces invalid UTF-8.
  const std::string valid = Json::parse(dump_line(Json(std::string(text)))).get<std::string>();
  std::string out;
  for (size_t i = 0; i < valid.size(); ++i) {
    const char c = valid[i];
    const auto byte = static_cast<unsigned char>(c);
    // U+202A..U+202E and U+2066..U+2069 make text read backwards; they are control characters too.
    const std::string_view three = std::string_view(valid).substr(i, 3);
    if ((three >= "\u202a" && three <= "\u202e") || (three >= "\u2066" && three <= "\u2069")) {
      out += "\uFFFD";
      i += 2;
      continue;
    }
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f)
      out += "\uFFFD";
    else
      out += c;
  }
  return out;
}

namespace {

// What a chart spans. Without a series to draw, `shown` is empty.
struct Axes {
  std::vector<const Series*> shown;
  std::vector<double> ticks;  // of the y axis
  double x_low = kNan, x_high = kNan;
};

Axes axes_of(const Chart& chart) {
  Axes axes;
  double low = kNan, high = kNan;
  for (const Series& series : chart.series) {
    bool any = false;
    for (size_t i = 0; i < series.y.size(); ++i) {
      if (!drawable(series.y[i], chart.log_y)) continue;
      any = true;
      axes.x_low = std::fmin(axes.x_low, series.x[i]);
      axes.x_high = std::fmax(axes.x_high, series.x[i]);
      const bool band = !series.low.empty();
      for (double y : {series.y[i], band ? series.low[i] : kNan, band ? series.high[i] : kNan}) {
        if (!drawable(y, chart.log_y)) continue;
        low = std::fmin(low, y);
        high = std::fmax(high, y);
      }
    }
    if (any) axes.shown.push_back(&series);
  }
  if (axes.shown.empty()) return axes;
  axes.x_low = chart.x_low.value_or(axes.x_low);
  axes.x_high = chart.x_high.value_or(axes.x_high);
  if (chart.share) {
    low = std::min(low, 0.0);
    high = std::max(high, 1.0);
  } else if (!chart.log_y && low > 0 && low < 0.5 * high) {
    low = 0;
  }
  axes.ticks = chart.log_y ? log_ticks(low, high) : nice_ticks(low, high, 4);
  return axes;
}

// The drawing on paper of one shape.
std::string draw_svg(const Chart& chart, const Axes& axes, bool wide) {
  const auto& [shown, ticks, x_low, x_high] = axes;
  const Frame frame{.width = wide ? 880.0 : 320.0,
                    .height = wide ? 230.0 : 170.0,
                    .x_low = x_low,
                    .x_high = x_high,
                    .y_low = chart.log_y ? std::log10(ticks.front()) : ticks.front(),
                    .y_high = chart.log_y ? std::log10(ticks.back()) : ticks.back(),
                    .log_y = chart.log_y};
  std::string label = chart.title;
  for (const Series* series : shown) label += ". " + spoken(*series, chart.log_y, chart.x_name);
  const char* shape = wide ? " class=\"large\"" : chart.wide ? " class=\"small\"" : "";
  std::string out = fmt::format("<svg{} viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", shape,
                                frame.width, frame.height, escape_html(label));
  for (double tick : ticks) {
    out += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", kLeft, frame.y(tick),
                       frame.width - kRight);
    out += fmt::format("<text class=\"tick end\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", kLeft - 6,
                       frame.y(tick) + 4, tick_label(tick, chart.share));
  }
  for (double tick : nice_ticks(x_low, x_high, wide ? 10 : 5)) {
    if (tick < x_low || tick > x_high || (!chart.x_share && tick != std::floor(tick))) continue;
    out += fmt::format("<text class=\"tick mid\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", frame.x(tick),
                       frame.height - kBottom + 16, tick_label(tick, chart.x_share));
  }
  out += fmt::format("<text class=\"tick mid\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
                     (kLeft + frame.width - kRight) / 2, frame.height - 3, escape_html(chart.x_name));
  for (const Series* series : shown) out += draw_series(frame, *series, chart.x_name);
  return out + "</svg>";
}

}  // namespace

std::string render_chart(const Chart& chart) {
  const Axes axes = axes_of(chart);
  const std::vector<const Series*>& shown = axes.shown;
  if (shown.empty()) return "";
  std::string out = fmt::format("<figure class=\"chart{}\"><figcaption><b>{}</b>", chart.wide ? " wide" : "",
                                escape_html(chart.title));
  const std::string unit =
      chart.unit + (chart.log_y ? (chart.unit.empty() ? "log scale" : ", log scale") : "");
  if (!unit.empty()) out += fmt::format(" <span class=\"unit\">{}</span>", escape_html(unit));
  out += "<span class=\"legend\">";
  for (const Series* series : shown) {
    const auto last = std::find_if(series->y.rbegin(), series->y.rend(),
                                   [&](double y) { return drawable(y, chart.log_y); });
    out += fmt::format("<span class=\"s{}\">{} <output>{}</output></span>", series->colour,
                       shown.size() > 1 ? "<i></i>" + escape_html(series->name) : "",
                       chart.share ? fmt::format("{:.3g}%", 100 * *last) : format_value(*last));
  }
  out += "</span></figcaption>";
  // A wide chart has a second shape for narrow screens; the style sheet shows one of the two.
  if (chart.wide) out += draw_svg(chart, axes, true);
  out += draw_svg(chart, axes, false);
  if (!chart.help.empty()) out += fmt::format("<p>{}</p>", escape_html(chart.help));
  return out + "</figure>\n";
}

std::string render_shares(const std::string& title, const std::string& help,
                          const std::vector<Share>& shares) {
  double all = 0;
  for (const Share& share : shares) all += std::max(share.value, 0.0);
  if (all <= 0) return "";
  constexpr double kWidth = 880, kHeight = 34;
  std::string bar, legend, label = title;
  double x = 0;
  size_t colour = 0;
  for (const Share& share : shares) {
    if (share.value <= 0) continue;
    const double part = share.value / all, width = part * kWidth;
    // Beyond the sixth the colours begin anew, paler.
    const std::string shade = fmt::format("s{}{}", colour % 6, colour < 6 ? "" : " pale");
    const std::string text = fmt::format("{} {:.{}f}%", share.name, 100 * part, part < 0.0995 ? 1 : 0);
    bar += fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"0\" width=\"{:.1f}\" height=\"{}\"><title>{}</title></rect>",
        shade, x, width, kHeight, escape_html(text));
    legend += fmt::format("<span class=\"{}\"><i></i>{} <output>{}</output></span>", shade, escape_html(text),
                          escape_html(share.note));
    label += ". " + text;
    x += width;
    ++colour;
  }
  std::string out = fmt::format("<figure class=\"chart wide shares\"><figcaption><b>{}</b></figcaption>",
                                escape_html(title));
  out += fmt::format(
      "<svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{}</svg>",
      kWidth, kHeight, escape_html(label), bar);
  out += fmt::format("<div class=\"legend\">{}</div>", legend);
  if (!help.empty()) out += fmt::format("<p>{}</p>", escape_html(help));
  return out + "</figure>\n";
}

std::string render_svg_file(const Chart& chart) {
  const Axes axes = axes_of(chart);
  if (axes.shown.empty()) return "";
  const char* const style =
      "text { font: 12px sans-serif; fill: #17202b; } path { fill: none; } .grid { stroke: #e9edf1; } "
      ".line { stroke: #2563eb; stroke-width: 2; } .tick { fill: #5a6675; } .end { text-anchor: end; } "
      ".mid { text-anchor: middle; }";
  // The drawing is 230 high and would stand in the middle of 260; the title takes what is above it.
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"880\" height=\"260\" viewBox=\"0 0 880 260\">"
      "<style>{}</style><rect width=\"880\" height=\"260\" fill=\"#fff\"/>"
      "<text x=\"8\" y=\"18\">{}</text><g transform=\"translate(0 15)\">{}</g></svg>\n",
      style, escape_html(chart.title), draw_svg(chart, axes, true));
}

}  // namespace temper

// Small line charts as SVG text, coloured by the CSS of the page around them.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Series {
  std::string name;
  std::vector<double> x, y;       // same length, x ascending; a NaN in y is a gap
  std::vector<double> low, high;  // empty, or a band of y's length
  bool smooth = false;            // a smoothed line over the pale raw one
  bool points = false;            // a mark at each point, with its numbers as a tooltip
  int colour = 0;                 // 0..5: the CSS variables --c0 ... --c5
};

struct Chart {
  std::string title;
  std::string unit = {};                          // of y, shown beside the title
  std::string help = {};                          // one line under the chart
  std::vector<Series> series;                     // one with no finite point is left out
  bool log_y = false;                             // values <= 0 become gaps
  bool share = false;                             // y runs from 0 to 1, labelled in percent
  bool wide = false;                              // takes a whole row of the page
  std::string x_name = "step";                    // what x counts: whole numbers, unless it is a share
  bool x_share = false;                           // x is labelled in percent
  std::optional<double> x_low = {}, x_high = {};  // default: what the series span
};

// The chart as a <figure> with caption, legend and an <svg> that scales with the page, or "" when it has no
// finite point. Each series is thinned to at most 2000 points, keeping the lowest and highest of each
// stretch.
std::string render_chart(const Chart& chart);

// The same as an SVG file of its own, with its title and colours.
std::string render_svg_file(const Chart& chart);

// A part of a whole.
struct Share {
  std::string name;
  double value = 0;       // of the whole's unit
  std::string note = {};  // the value for people
};
// A whole as one bar of its parts, each with name, percent and note in the legend; "" of nothing. At most 12
// parts can be told apart.
std::string render_shares(const std::string& title, const std::string& help,
                          const std::vector<Share>& shares);

// Round axis values that cover [low, high]: steps of 1, 2 or 5 times a power of ten, about `count` of them.
// An empty or nearly empty range is widened to take in zero.
std::vector<double> nice_ticks(double low, double high, int count);

// Indices to draw, ascending: at most `limit` (>= 8), the first, the last and each stretch's extremes among
// them; a stretch that holds a gap keeps one NaN.
std::vector<size_t> thin(const std::vector<double>& y, size_t limit);

// Mean of the points on both sides, weighted by 2^(-distance / half_life), distances in points; gaps stay
// gaps.
std::vector<double> smoothed(const std::vector<double>& y, double half_life);

// Safe inside HTML text and quoted attributes; invalid UTF-8 and control characters are replaced by U+FFFD.
std::string escape_html(std::string_view text);

}  // namespace temper

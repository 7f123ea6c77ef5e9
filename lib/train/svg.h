// Small line charts as SVG text, coloured by the CSS variables of the page around them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

struct Series {
  std::string name;
  std::vector<double> x, y;       // same length, x ascending; a NaN in y is a gap
  std::vector<double> low, high;  // empty, or a band of y's length
  bool smooth = false;            // a smoothed line over the pale raw one
  bool points = false;            // a mark at each point
  int colour = 0;                 // 0..5: the CSS variables --c0 ... --c5
};

struct Chart {
  std::string title;
  std::string unit = {};       // of y, shown beside the title
  std::vector<Series> series;  // one with no finite point is left out
  bool log_y = false;          // values <= 0 become gaps
  bool share = false;          // y runs from 0 to 1
};

// The chart as an <svg> element of `width` x `height` units that scales with the page, or "" when it has no
// finite point. Each series is thinned to at most 2000 points, keeping the lowest and highest of each
// stretch.
std::string render_chart(const Chart& chart, int width = 560, int height = 240);

// Round axis values that cover [low, high]: steps of 1, 2 or 5 times a power of ten, about `count` of them.
std::vector<double> nice_ticks(double low, double high, int count);

// Indices to draw, ascending: at most `limit`, the first, the last and each stretch's extremes among them; a
// stretch that holds a gap keeps one NaN.
std::vector<size_t> thin(const std::vector<double>& y, size_t limit);

// Exponential moving average, corrected for its start; gaps stay gaps. half_life in points.
std::vector<double> smoothed(const std::vector<double>& y, double half_life);

// Safe inside HTML text and quoted attributes; invalid UTF-8 and control characters are replaced by U+FFFD.
std::string escape_html(std::string_view text);

}  // namespace temper

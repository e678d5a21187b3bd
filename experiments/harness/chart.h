// Charts and sheets of images, described by what they show. gnuplot draws charts (see plot.h).
#pragma once
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/array.h"

namespace basin {

/// Colours are numbers of one palette (Okabe and Ito: told apart by the colour-blind, and in
/// print): 0 blue, 1 vermilion, 2 green, 3 orange, 4 purple, 5 sky, 6 black, then again from the
/// beginning; grey for what is only there to compare.
constexpr int grey = -1;
struct Colour {
  int number = 0;
  Colour() = default;
  template <class T, class = std::enable_if_t<std::is_integral_v<T>>>
  Colour(T of_palette) : number(static_cast<int>(of_palette)) {}  // NOLINT: a number is a colour
};

enum class Draw {
  line,
  dashed,
  dotted,
  circles,  // points: open
  dots,     // filled
  crosses,
  specks,       // as small as can be, for thousands
  line_points,  // a line with dots
  band,         // the area between y and `upper`
  bars,         // from 0, `width` wide
  steps,        // each y from the x before up to its own
  arrows        // from (x, y) by (dx, dy)
};

/// Numbers that are not finite break a line and are no points.
struct Curve {
  std::vector<double> x = {}, y = {};
  std::string name = "";  // in the key; "" keeps it out
  Colour colour = {};
  Draw draw = Draw::line;
  double size = 1;                 // of points, and width of lines
  std::vector<double> z = {};      // given for all curves of a panel: it is drawn in space
  std::vector<double> upper = {};  // of a band
  std::vector<double> dx = {}, dy = {};
  double width = 0;  // of bars
};

struct Axis {
  std::string label = "";
  bool log = false;
  double low = std::numeric_limits<double>::quiet_NaN();  // not a number: as the data are
  double high = std::numeric_limits<double>::quiet_NaN();
};

/// Dashed grey lines across a panel, under one name.
struct Levels {
  std::vector<double> at = {};
  std::string name = "";
};

struct Panel {
  std::string title = "";
  Axis x = {}, y = {};
  std::vector<Curve> curves = {};
  Levels levels = {};            // y of horizontal lines
  Levels uprights = {};          // x of vertical lines
  std::string key = "top left";  // a corner, or "below"
  bool equal = false;            // one scale for both axes
};

struct Chart {
  std::string name;  // of its files
  std::vector<Panel> panels = {};
  int columns = 0;  // 0: all panels in one row
  int panel_width = 480, panel_height = 460;
  std::string title = "";

  /// Width and height in pixels.
  std::pair<int, int> size() const;
  /// The program for gnuplot, with all data in it. Errors: no panel, a panel without a curve, lists
  /// of a curve of different lengths.
  std::string script() const;
};

/// Column j of rows [N, d].
std::vector<double> column(const Array& rows, int64_t j);
/// A curve through rows [N, 2] or, in space, [N, 3]; the rest of it as in `style`.
Curve curve_of(const Array& rows, Curve style = {});
/// The staircases between f and the diagonal, of trajectories on the line [starts, iterations + 1].
Curve cobweb(const Array& trajectories, Curve style = {});
/// Counts as numbers of an axis, those below `least` at `least`: where 0 is drawn on a log axis.
std::vector<double> on_axis(const std::vector<int64_t>& counts, double least = 0);
/// The log axis of such counts.
Axis log_axis(const std::string& label, const std::vector<int64_t>& counts, double least);

/// Rows of images of one shape [C, H, W] as one picture u8, each pixel zoom x zoom. A cell is an
/// array of C H W numbers in [0, 1] on any device; an undefined one is a gap, and short rows end
/// with gaps.
Array contact_sheet(const std::vector<std::vector<Array>>& rows, const Shape& image, int zoom);

}  // namespace basin

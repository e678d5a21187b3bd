#include "experiments/harness/chart.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "autograd/ops.h"
#include "engine/image.h"

namespace basin {
namespace {

std::string rgb(const Colour& of) {
  const int colour = of.number;
  constexpr const char* palette[] = {"#0072b2", "#d55e00", "#009e73", "#e69f00",
                                     "#cc79a7", "#56b4e9", "#000000"};
  return colour < 0 ? "'#888888'"
                    : text("'", palette[static_cast<size_t>(colour) % std::size(palette)], "'");
}

/// Text for gnuplot as it is: no markup, no escapes, and no commands, which stand in ` ` of
/// double-quoted text.
std::string quoted(const std::string& words) {
  std::string out = "'";
  for (const char c : words) {
    if (c == '\n')
      out += "'.\"\\n\".'";
    else
      out += c == '\'' ? "''" : std::string(1, c);
  }
  return out + "' noenhanced";
}

std::string end_of(double end) {
  return std::isnan(end) ? "*" : text(end);
}

bool in_space(const Panel& panel) {
  return !panel.curves.empty() && !panel.curves[0].z.empty();
}

/// The columns of a curve in the order in which gnuplot takes them.
std::vector<std::vector<double>> columns_of(const Curve& c) {
  std::vector<std::vector<double>> all{c.x, c.y};
  if (!c.z.empty()) all.push_back(c.z);
  if (c.draw == Draw::band) all.push_back(c.upper);
  if (c.draw == Draw::bars) all.emplace_back(c.x.size(), c.width);
  if (c.draw == Draw::arrows) {
    all.push_back(c.dx);
    all.push_back(c.dy);
  }
  return all;
}

std::ostream& number(std::ostream& out, double value) {
  return std::isfinite(value) ? out << value : out << "NaN";
}

/// "$d0_1 << EOD ... EOD"
std::string data_of(const std::string& name, const Curve& c) {
  const auto columns = columns_of(c);
  for (const auto& one : columns)
    require(one.size() == c.x.size(), "chart: curve '", c.name, "' has lists of ", c.x.size(),
            " and of ", one.size(), " numbers");
  std::ostringstream out;
  out.precision(9);
  out << "$" << name << " << EOD\n";
  for (size_t i = 0; i < c.x.size(); ++i)
    for (size_t j = 0; j < columns.size(); ++j)
      number(out, columns[j][i]) << (j + 1 < columns.size() ? ' ' : '\n');
  if (c.x.empty()) out << "NaN NaN NaN NaN\n";  // a block without a line is an error
  out << "EOD\n";
  return out.str();
}

std::string style_of(const Curve& c) {
  const std::string colour = " lc rgb " + rgb(c.colour), wide = text(" lw ", 1.6 * c.size),
                    big = text(" ps ", c.size);
  switch (c.draw) {
    case Draw::line:
      return "lines" + wide + colour;
    case Draw::dashed:
      return "lines dt 2" + wide + colour;
    case Draw::dotted:
      return "lines dt 3" + wide + colour;
    case Draw::circles:
      return "points pt 6" + text(" ps ", 0.7 * c.size) + colour;
    case Draw::dots:
      return "points pt 7" + text(" ps ", 0.8 * c.size) + colour;
    case Draw::crosses:
      return "points pt 2" + text(" ps ", 0.6 * c.size) + colour;
    case Draw::specks:
      return "dots" + colour;
    case Draw::line_points:
      return "linespoints pt 7" + text(" ps ", 0.6 * c.size) + wide + colour;
    case Draw::band:
      return "filledcurves fs transparent solid 0.15 noborder" + colour;
    case Draw::bars:
      return "boxes fs solid 0.6" + colour;
    case Draw::steps:
      return "fsteps" + wide + colour;
    case Draw::arrows:
      return "vectors" + wide + colour;
  }
  return "";
}

/// Of a panel without a point, which gnuplot draws only between ends that are given.
std::string empty_axis(const Axis& a, const char* name) {
  return text("set ", name, "label ", quoted(a.label), "\nset ", name, "range [0:1]\n");
}

/// Powers of ten at the ticks of a logarithmic axis that spans three of them, plain numbers
/// elsewhere.
std::string axis(const Panel& panel, const Axis& a, const char* name, bool of_x) {
  double least = INFINITY, most = 0;
  for (const Curve& c : panel.curves)
    for (const double v : of_x ? c.x : c.y)
      if (std::isfinite(v) && v > 0) {
        least = std::min(least, v);
        most = std::max(most, v);
      }
  bool any = false;
  for (const Curve& c : panel.curves)
    for (const double v : of_x ? c.x : c.y) any |= std::isfinite(v) && (!a.log || v > 0);
  if (!any) return empty_axis(a, name);
  if (!std::isnan(a.low)) least = a.low;
  if (!std::isnan(a.high)) most = a.high;
  const bool powers = a.log && most / least >= 1e3;
  return text("set ", name, "label ", quoted(a.label), "\nset ", name, "range [", end_of(a.low),
              ":", end_of(a.high), "]\n", a.log ? text("set logscale ", name, "\n") : "",
              "set format ", name, powers ? " '10^{%T}'\n" : " '%g'\n");
}

/// Lines across the panel: arrows of gnuplot, from edge to edge.
std::string lines_across(const Levels& levels, bool horizontal) {
  std::string out;
  for (const double v : levels.at)
    out += horizontal ? text("set arrow from graph 0, first ", v, " to graph 1, first ", v,
                             " nohead dt 2 lc rgb '#888888'\n")
                      : text("set arrow from first ", v, ", graph 0 to first ", v,
                             ", graph 1 nohead dt 2 lc rgb '#888888'\n");
  return out;
}

std::string panel_script(const Panel& panel, size_t number) {
  require(!panel.curves.empty(), "chart: panel '", panel.title, "' has no curve");
  const bool space = in_space(panel);
  std::string out = "reset\nset title " + quoted(panel.title) + "\n";
  if (space) {
    out +=
        "set view 68,18,1.3,1.0\nset view equal xyz\nset xyplane relative 0\nunset tics\nset "
        "border 4095 lc rgb "
        "'#c9ced6' lw 0.8\n";
  } else {
    out += "set grid back lt 1 lw 0.6 lc rgb '#dddddd'\n";
  }
  out += axis(panel, panel.x, "x", true) + axis(panel, panel.y, "y", false);
  if (panel.equal) out += "set size ratio -1\n";
  out += panel.key == "below" ? "set key below\n" : "set key " + panel.key + "\n";
  out += lines_across(panel.levels, true) + lines_across(panel.uprights, false);
  std::string plots;
  const auto add = [&](const std::string& what, const std::string& style, const std::string& name) {
    plots += text(plots.empty() ? "" : ", ", what, " with ", style,
                  name.empty() ? " notitle" : " title " + quoted(name));
  };
  for (size_t i = 0; i < panel.curves.size(); ++i) {
    const Curve& c = panel.curves[i];
    std::string columns = " using 1";
    for (size_t j = 2; j <= columns_of(c).size(); ++j) columns += text(":", j);
    add(text("$d", number, "_", i, columns), style_of(c), c.name);
  }
  for (const Levels* levels : {&panel.levels, &panel.uprights})
    if (!levels->name.empty()) add("NaN", "lines dt 2 lc rgb '#888888'", levels->name);
  return out + (space ? "splot " : "plot ") + plots + "\n";
}

}  // namespace

std::pair<int, int> Chart::size() const {
  const int count = static_cast<int>(panels.size());
  const int across = columns > 0 ? std::min(columns, count) : count;
  const int down = across > 0 ? (count + across - 1) / across : 0;
  return {panel_width * across, panel_height * down};
}

std::string Chart::script() const {
  require(!panels.empty(), "chart ", name, ": has no panel");
  const auto [width, height] = size();
  std::string out;
  for (size_t p = 0; p < panels.size(); ++p)
    for (size_t i = 0; i < panels[p].curves.size(); ++i)
      out += data_of(text("d", p, "_", i), panels[p].curves[i]);
  out += text("set multiplot layout ", height / panel_height, ",", width / panel_width,
              title.empty() ? "" : " title " + quoted(title), "\n");
  for (size_t p = 0; p < panels.size(); ++p) out += panel_script(panels[p], p);
  return out + "unset multiplot\n";
}

std::vector<double> column(const Array& rows, int64_t j) {
  require(rows.rank() == 2 && j >= 0 && j < rows.dim(1), "column: no column ", j, " in ", rows);
  return cast(copy_to(contiguous(slice(rows, 1, j, j + 1)), {}), DType::f64).to_vector<double>();
}

Curve curve_of(const Array& rows, Curve style) {
  style.x = column(rows, 0);
  style.y = column(rows, 1);
  if (rows.dim(1) > 2) style.z = column(rows, 2);
  return style;
}

Curve cobweb(const Array& trajectories, Curve style) {
  const auto corner = [&](double x, double y) {
    style.x.push_back(x);
    style.y.push_back(y);
  };
  const int64_t counts = trajectories.dim(1);
  const std::vector<double> x = trajectories.to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) {
    const bool begins = i % static_cast<size_t>(counts) == 0;
    corner(begins ? NAN : x[i - 1], begins ? NAN : x[i]);  // a new path begins with a gap
    corner(x[i], x[i]);
  }
  return style;
}

std::vector<double> on_axis(const std::vector<int64_t>& counts, double least) {
  std::vector<double> values(counts.begin(), counts.end());
  for (double& v : values) v = std::max(v, least);
  return values;
}

Axis log_axis(const std::string& label, const std::vector<int64_t>& counts, double least) {
  return {.label = label, .log = true, .low = least, .high = on_axis(counts, least).back()};
}

Array contact_sheet(const std::vector<std::vector<Array>>& rows, const Shape& image, int zoom) {
  require(image.rank == 3, "contact_sheet: images are [C, H, W], got ", image);
  size_t columns = 0;
  for (const auto& row : rows) columns = std::max(columns, row.size());
  require(columns > 0, "contact_sheet: needs an image");
  const Array gap = full({1, image.size()}, 1, DType::f32);  // white, as the sheet
  Tensors cells;
  for (const auto& row : rows)
    for (size_t i = 0; i < columns; ++i) {
      const bool there = i < row.size() && row[i].defined();
      require(!there || row[i].size() == image.size(), "contact_sheet: a cell is ",
              there ? row[i] : gap, ", images are ", image);
      cells.emplace_back(there ? reshape(cast(copy_to(row[i], {}), DType::f32), {1, image.size()})
                               : gap);
    }
  const Array grid = reshape(concat(cells, 0).array(), {-1, image[0], image[1], image[2]});
  return image_grid(grid, static_cast<int64_t>(columns), 2, zoom);
}

}  // namespace basin

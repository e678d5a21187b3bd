// Charts: the program for gnuplot, and that gnuplot takes it; sheets of images.
#include <doctest/doctest.h>
#include <cmath>
#include <filesystem>

#include "autograd/ops.h"
#include "experiments/harness/chart.h"
#include "experiments/harness/plot.h"
#include "tests/command.h"
#include "tests/files.h"

using namespace basin;
using basin::test::has;

namespace {

/// Every way of drawing, every kind of axis, words that gnuplot would read as markup.
Chart everything() {
  Panel flat{.title = "a_b^2 \"quoted\" \\ 'and' {all} `touch made`\nsecond line",
             .x = {.label = "time", .log = true, .low = 1e-3, .high = 10},
             .y = {.label = "error_1"},
             .levels = {{0.5, 1}, "PCA"},
             .uprights = {{1}},
             .key = "below"};
  for (const Draw draw :
       {Draw::line, Draw::dashed, Draw::dotted, Draw::circles, Draw::dots, Draw::crosses,
        Draw::specks, Draw::line_points, Draw::band, Draw::bars, Draw::steps, Draw::arrows})
    flat.curves.push_back({.x = {0.01, 0.1, 1},
                           .y = {1, std::nan(""), INFINITY},
                           .name = "curve_" + std::to_string(static_cast<int>(draw)),
                           .colour = static_cast<int>(draw),
                           .draw = draw,
                           .upper = {2, 3, 4},
                           .dx = {1, 1, 1},
                           .dy = {0, 0, 1},
                           .width = 0.1});
  const Panel space{
      .curves = {{.x = {0, 1}, .y = {0, 1}, .colour = grey, .draw = Draw::dots, .z = {0, 1}}}};
  return {.name = "all",
          .panels = {flat, space, {.curves = {{}}, .equal = true}},
          .columns = 2,
          .title = "three"};
}

}  // namespace

TEST_CASE("chart: gnuplot draws every kind of curve, and words stay words") {
  const Chart chart = everything();
  CHECK(chart.size() == std::pair<int, int>(960, 920));
  const std::string script = chart.script();
  CHECK(has(script,
            "set title 'a_b^2 \"quoted\" \\ ''and'' {all} `touch made`'.\"\\n\".'second line' "
            "noenhanced"));
  CHECK(has(script, "set format x '10^{%T}'"));
  CHECK(has(script, "0.1 NaN\n"));
  CHECK(has(script, "splot"));
  if (!gnuplot_available()) return;
  const test::TemporaryFolder folder;
  CHECK(run_gnuplot(folder.path(), chart.name, script, 960, 920).empty());
  CHECK_FALSE(std::filesystem::exists(folder / "made"));  // by the title
}

TEST_CASE("chart: what cannot be drawn is an error") {
  CHECK_THROWS_WITH_AS(Chart{.name = "x"}.script(), doctest::Contains("chart x: has no panel"),
                       Error);
  const Chart empty{.name = "x", .panels = {{.title = "t"}}};
  CHECK_THROWS_WITH_AS(empty.script(), doctest::Contains("panel 't' has no curve"), Error);
  const Chart uneven{.name = "x", .panels = {{.curves = {{.x = {1}, .y = {1, 2}, .name = "c"}}}}};
  CHECK_THROWS_WITH_AS(uneven.script(),
                       doctest::Contains("curve 'c' has lists of 1 and of 2 numbers"), Error);
}

TEST_CASE("contact_sheet: cells, gaps and rows of different lengths") {
  const Array black = zeros({1, 4}, DType::f32), white = full({1, 4}, 1, DType::f32);
  const Array sheet = contact_sheet({{black, {}, black}, {white}}, {1, 2, 2}, 1);
  CHECK(sheet.shape() == Shape{1, 10, 14});  // 2 rows, 3 columns of 2 pixels, 2 between and around
  CHECK(sum(cast(Tensor(sheet), DType::f32) / 255.0).item() ==
        140 - 8);  // two black cells of 4 pixels
  CHECK_THROWS_WITH_AS(contact_sheet({{black}}, {3, 2, 2}, 1), doctest::Contains("images are"),
                       Error);
  CHECK_THROWS_WITH_AS(contact_sheet({}, {1, 2, 2}, 1), doctest::Contains("needs an image"), Error);
}

TEST_CASE("charts: curves of rows, cobwebs and counts on an axis") {
  const Array plane = from_vector(std::vector<float>{1, 2, 3, 4}, {2, 2});
  const Curve flat = curve_of(plane, {.name = "a", .colour = 3, .draw = Draw::dots});
  CHECK(flat.x == std::vector<double>{1, 3});
  CHECK(flat.y == std::vector<double>{2, 4});
  CHECK(flat.z.empty());
  CHECK(flat.name == "a");
  CHECK(flat.colour.number == 3);
  CHECK(curve_of(from_vector(std::vector<double>{1, 2, 3}, {1, 3})).z == std::vector<double>{3});
  CHECK_THROWS_AS(curve_of(from_vector(std::vector<double>{1, 2}, {2, 1})), Error);

  // two starts, one iteration: from (0, 0) up to the map, along to the diagonal, then a new path
  const Curve web = cobweb(from_vector(std::vector<double>{0, 2, 5, 1}, {2, 2}));
  REQUIRE(web.x.size() == 8);
  CHECK(std::isnan(web.x[0]));
  CHECK(std::vector<double>(web.x.begin() + 1, web.x.begin() + 4) == std::vector<double>{0, 0, 2});
  CHECK(std::vector<double>(web.y.begin() + 1, web.y.begin() + 4) == std::vector<double>{0, 2, 2});
  CHECK(std::isnan(web.y[4]));
  CHECK(std::vector<double>(web.x.begin() + 5, web.x.end()) == std::vector<double>{5, 5, 1});

  CHECK(on_axis({0, 1, 10}) == std::vector<double>{0, 1, 10});
  CHECK(on_axis({0, 1, 10}, 0.7) == std::vector<double>{0.7, 1, 10});
}

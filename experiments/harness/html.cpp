// HTML without a library: escaping, and pictures as data inside the page.
#include "experiments/harness/html.h"

#include <algorithm>
#include <cstring>

#include "engine/build_info.h"
#include "engine/file.h"
#include "experiments/harness/gnuplot.h"
#include "experiments/harness/process.h"
#include "experiments/harness/report_style.h"

namespace basin {
namespace {

constexpr uint64_t max_figure = 32 << 20;

std::string base64(const Bytes& bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t three =
        bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
    out += {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
            left > 2 ? digits[three & 63] : '='};
  }
  return out;
}

}  // namespace

std::string html(const std::string& s) {
  std::string out;
  for (size_t at = 0; at <= s.size();) {
    const size_t end = std::min(s.find('\n', at), s.size());
    if (at > 0) out += '\n';
    for (const char c : one_line(s.substr(at, end - at)))
      out += std::strchr("&<>\"'", c) ? text("&#", static_cast<int>(c), ";") : std::string(1, c);
    at = end + 1;
  }
  return out;
}

std::string plain(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string plural(size_t count, const std::string& what) {
  return text(count, " ", what, count == 1 ? "" : "s");
}

std::string html_begin(const std::string& title) {
  return text(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"generator\" content=\"basin ",
      html(std::string(build_info().commit)), "\">\n<title>", title, "</title>\n<style>\n",
      report_style, "</style></head><body>\n");
}

std::string html_table(const std::vector<Column>& columns,
                       const std::vector<std::vector<std::string>>& rows) {
  size_t all = 0;
  for (const Column& column : columns) all += column.width;
  std::string out = "<table><thead><tr>";
  for (const Column& column : columns)
    out += text("<th scope=\"col\" style=\"width: ", 100 * column.width / all, "%\">",
                html(column.title), "</th>");
  out += "</tr></thead><tbody>\n";
  for (const auto& row : rows) {
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = row[i], first = cell.substr(0, cell.find('\n'));
      const bool coloured = first == "held" || first == "missed" || first == "reported";
      out += text("<td data-label=\"", html(columns[i].title), "\"><span class=\"",
                  coloured ? first : "", "\">", html(first), "</span>");
      if (first != cell)
        out += "<span class=\"remark\">" + html(cell.substr(first.size() + 1)) + "</span>";
      out += "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table>\n";
}

std::string html_picture(const std::string& folder, const std::string& name,
                         const std::string& about) {
  const auto missing = [&](const std::string& why) {
    return "<p class=\"note\">Figure " + html(name) + " is not shown: " + html(why) + "</p>\n";
  };
  if (name.empty() || name.find('/') != std::string::npos || name == "..")
    return missing("it is no file of the run's own folder");
  try {
    const Bytes bytes = read_file(folder + "/" + name, max_figure);
    const auto [height, width] = png_size(bytes, name);
    const bool wide =
        width > 700 && 5 * width > 9 * height;  // on a phone it is moved sideways, not shrunk
    return text("<figure", wide ? " class=\"wide\"" : "", "><div class=\"scroll\"><img width=\"",
                width, "\" height=\"", height, "\" alt=\"", html(name), ", ", html(about),
                "\" src=\"data:image/png;base64,", base64(bytes), "\"></div><figcaption>",
                html(name), "</figcaption></figure>\n");
  } catch (const Error& e) {
    return missing(e.what());
  }
}

}  // namespace basin

// HTML without a library: escaping, and pictures as data inside the page.
#include "experiments/harness/html.h"

#include <algorithm>

#include "engine/build_info.h"
#include "engine/file.h"
#include "experiments/harness/gnuplot.h"
#include "experiments/harness/report_style.h"

namespace basin {
namespace {

constexpr uint64_t max_figure = 32 << 20;

/// The length of the UTF-8 sequence at s[i], 0 when there is none.
size_t utf8_length(const std::string& s, size_t i) {
  const auto first = static_cast<unsigned char>(s[i]);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || i + length > s.size()) return 0;
  for (size_t k = 1; k < length; ++k)
    if ((static_cast<unsigned char>(s[i + k]) & 0xc0) != 0x80) return 0;
  return length;
}

std::string base64(const Bytes& bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t three = bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
    out += {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
            left > 2 ? digits[three & 63] : '='};
  }
  return out;
}

}  // namespace

std::string html(const std::string& s) {
  std::string out;
  for (size_t i = 0; i < s.size();) {
    const size_t length = utf8_length(s, i);
    const char c = s[i];
    if (length > 1)
      out.append(s, i, length);
    else if (length == 0 || (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      out += "?";
    else if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
      out += text("&#", static_cast<int>(c), ";");
    else
      out += c;
    i += std::max<size_t>(1, length);
  }
  return out;
}

std::string html(const Json& value) {
  return html(value.is_string() ? value.get<std::string>()
                                : value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string plural(size_t count, const std::string& what) {
  return text(count, " ", what, count == 1 ? "" : "s");
}

std::string html_begin(const std::string& title) {
  return text(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"generator\" content=\"basin ",
      html(std::string(build_info().commit)), "\">\n<title>", title, "</title>\n<style>\n", report_style,
      "</style></head><body>\n");
}

std::string html_picture(const std::string& folder, const std::string& name, const std::string& about) {
  const auto missing = [&](const std::string& why) {
    return "<p class=\"note\">Figure " + html(name) + " is not shown: " + html(why) + "</p>\n";
  };
  if (name.empty() || name.find('/') != std::string::npos || name == "..")
    return missing("it is no file of the run's own folder");
  try {
    const Bytes bytes = read_file(folder + "/" + name, max_figure);
    const auto [height, width] = png_size(bytes, name);
    const bool wide = width > 700 && 5 * width > 9 * height;  // on a phone it is moved sideways, not shrunk
    return text("<figure", wide ? " class=\"wide\"" : "", "><div class=\"scroll\"><img width=\"", width, "\" height=\"",
                height, "\" alt=\"", html(name), ", ", html(about), "\" src=\"data:image/png;base64,", base64(bytes),
                "\"></div><figcaption>", html(name), "</figcaption></figure>\n");
  } catch (const Error& e) {
    return missing(e.what());
  }
}

}  // namespace basin

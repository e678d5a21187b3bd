// gnuplot as a child, and what it leaves.
#pragma once
#include <chrono>
#include <string>
#include <utility>

#include "engine/file.h"

namespace basin {

/// As run_gnuplot of plot.h: without the user's own settings, in two minutes at most. Errors: the
/// script cannot be written; gnuplot cannot be started, fails, does not end within `limit`, or
/// leaves no whole picture of that size; interrupted.
std::string run_gnuplot(const std::string& folder, const std::string& name,
                        const std::string& script, int width, int height,
                        std::chrono::milliseconds limit);

/// Height and width of a PNG with all its pixels, see parse_image. Errors: it is none, damaged or
/// cut off, or bytes follow its end; they name `name`.
std::pair<int64_t, int64_t> png_size(ByteSpan bytes, const std::string& name);

}  // namespace basin

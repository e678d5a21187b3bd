// gnuplot as a child, and what it leaves.
#pragma once
#include <chrono>
#include <string>

#include "engine/file.h"

namespace basin {

/// As run_gnuplot of plot.h: without the user's own settings, in two minutes at most. Errors: the script cannot be
/// written; gnuplot cannot be started, fails, does not end within `limit`, or leaves no whole picture of that size;
/// interrupted.
std::string run_gnuplot(const std::string& folder, const std::string& name, const std::string& script, int width,
                        int height, std::chrono::milliseconds limit);

/// What keeps these bytes from being a whole PNG of that size, "" when nothing does: signature, sizes and checksums of
/// the chunks up to the last one.
std::string png_fault(ByteSpan bytes, uint32_t width, uint32_t height);

}  // namespace basin

// Figures by gnuplot, as a separate process. Curves and fields only; grids of images need no
// gnuplot (engine/image.h).
#pragma once
#include <string>

namespace basin {

/// True when a gnuplot can be found on the search path.
bool gnuplot_available();

/// Writes folder/<name>.gp (a header that opens <name>.png, then `script`) and runs gnuplot on it,
/// see gnuplot.h. Returns "" with the whole picture on disk, or that gnuplot is not installed.
/// Errors: anything else.
std::string run_gnuplot(const std::string& folder, const std::string& name,
                        const std::string& script, int width, int height);

}  // namespace basin

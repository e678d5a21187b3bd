// Pieces of HTML that the pages of `basin report` and `basin compare` share.
#pragma once
#include <string>

#include "experiments/harness/config.h"

namespace basin {

/// Text as HTML shows it, also inside attributes; bytes that are no text become question marks.
std::string html(const std::string& s);
/// A string as it is, any other value as JSON.
std::string html(const Json& value);

/// "1 run", "2 runs".
std::string plural(size_t count, const std::string& what);

/// Everything before the header of a page: title (HTML) and style sheet.
std::string html_begin(const std::string& title);

/// The file `name` of a folder as a picture inside the page, or a note why it is not there. `about` becomes a part of
/// the text for those who do not see it.
std::string html_picture(const std::string& folder, const std::string& name, const std::string& about);

}  // namespace basin

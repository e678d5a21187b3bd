// Pieces of HTML that the pages of `basin report` and `basin compare` share.
#pragma once
#include <string>
#include <vector>

#include "experiments/harness/config.h"
#include "experiments/harness/table.h"

namespace basin {

/// Text as HTML shows it, also inside attributes; what one_line replaces becomes ?, but lines stay.
std::string html(const std::string& s);
/// A string as it is, any other value as JSON.
std::string plain(const Json& value);
inline std::string html(const Json& value) {
  return html(plain(value));
}

/// "1 run", "2 runs".
std::string plural(size_t count, const std::string& what);

/// Everything before the header of a page: title (HTML) and style sheet.
std::string html_begin(const std::string& title);

/// A table as wide as the page, with columns in proportion to those of a terminal. The lines of a
/// cell after its first are remarks; a first line held, missed or reported is coloured.
std::string html_table(const std::vector<Column>& columns,
                       const std::vector<std::vector<std::string>>& rows);

/// The file `name` of a folder as a picture inside the page, or a note why it is not there. `about`
/// becomes a part of the text for those who do not see it.
std::string html_picture(const std::string& folder, const std::string& name,
                         const std::string& about);

}  // namespace basin

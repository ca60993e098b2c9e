// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"

namespace contrapunto {

/// A table with a header row, quoted according to RFC 4180: a field may be enclosed in double
/// quotes, where a doubled quote is a quote, and separators and line breaks are text. LF and CRLF
/// end a row. Blank lines and a byte order mark are skipped. The table holds the text once, plus 8
/// bytes per row.
class CsvTable {
 public:
  /// Raises DataError if there is no header row, if the header cannot be parsed, and for UTF-16.
  CsvTable(std::string text, char separator) : text_(std::move(text)), separator_(separator) {
    check_encoding();
    std::size_t at = text_.rfind("\xEF\xBB\xBF", 0) == 0 ? 3 : 0;
    bool have_header = false;
    while (at < text_.size()) {
      const Row found = walk(at, nullptr);
      const std::size_t end = found.end;
      const bool blank = text_[at] == '\n' || (text_[at] == '\r' && end == at + 1);
      if (!blank && !have_header) {
        columns_ = parse(at);
        have_header = true;
      } else if (found.is_unclosed) {
        const auto lines = std::count(text_.begin() + static_cast<std::ptrdiff_t>(at),
                                      text_.end() - (text_.ends_with('\n') ? 1 : 0), '\n');
        problem_ = "line " + std::to_string(line(at)) + ": " + found.error + ", so the " +
                   std::to_string(lines) + " lines after it cannot be read";
      } else if (!blank) {
        rows_.push_back(at);
      }
      at = end + 1;
    }
    if (!have_header) throw DataError("line 1: no header row");
  }

  /// Names of the columns, and the number of rows without the header.
  [[nodiscard]] const std::vector<std::string>& columns() const { return columns_; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }

  /// Why the table ends before the text does: "line N: a quote is never closed ...".
  [[nodiscard]] const std::optional<std::string>& problem() const { return problem_; }

  /// Returns the text from row `begin` to the end of row `end` - 1, as it stands in the file.
  [[nodiscard]] std::string_view text(std::int64_t begin, std::int64_t end) const {
    const auto offset = [&](std::int64_t row) {
      return row < size() ? rows_[static_cast<std::size_t>(row)] : text_.size();
    };
    return std::string_view(text_).substr(offset(begin), offset(end) - offset(begin));
  }

  /// Returns the index of the column `name`, or -1.
  [[nodiscard]] std::int64_t column(std::string_view name) const {
    const auto found = std::find(columns_.begin(), columns_.end(), name);
    return found == columns_.end() ? -1 : found - columns_.begin();
  }

  /// Returns the fields of row `index`, one per column. Raises DataError with the line number if
  /// the number of fields differs or if a quote is misplaced.
  [[nodiscard]] std::vector<std::string> row(std::int64_t index) const {
    const std::size_t begin = rows_.at(static_cast<std::size_t>(index));
    auto fields = parse(begin);
    if (fields.size() != columns_.size())
      throw DataError("line " + std::to_string(line(begin)) + ": " + std::to_string(fields.size()) +
                      " fields, but the header has " + std::to_string(columns_.size()));
    return fields;
  }

 private:
  /// The result of one pass over a row.
  struct Row {
    std::size_t end = 0;          ///< Offset of its line break, or the size of the text.
    const char* error = nullptr;  ///< Why the row cannot be used; null if it can.
    bool is_unclosed = false;     ///< Whether a quote opens in the row and is never closed.
  };

  /// Parses the row at `at` and appends its fields to `fields` unless that is null. A quote that
  /// does not open a field is text, so that `5" pipe` does not swallow the following rows.
  [[nodiscard]] Row walk(std::size_t at, std::vector<std::string>* fields) const {
    Row row;
    for (;; ++at) {
      std::string field;
      const bool quoted = at < text_.size() && text_[at] == '"';
      while (quoted) {
        const std::size_t close = text_.find('"', at + 1);
        if (close == std::string::npos) return {text_.size(), "a quote is never closed", true};
        if (fields) field.append(text_, at + 1, close - at - 1);
        at = close + 1;
        if (at >= text_.size() || text_[at] != '"') break;
        field += '"';
      }
      const std::size_t begin = at;
      while (at < text_.size() && text_[at] != separator_ && text_[at] != '\n') ++at;
      const bool last = at >= text_.size() || text_[at] == '\n';
      const std::size_t end = last && at > begin && text_[at - 1] == '\r' ? at - 1 : at;
      if (quoted && end > begin) row.error = "text after a closing quote";
      if (fields) fields->push_back(field.append(text_, begin, end - begin));
      if (last) {
        row.end = at;
        return row;
      }
    }
  }

  void check_encoding() const {
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
      throw DataError("line 1: the text is UTF-16; convert it with iconv -f UTF-16 -t UTF-8");
    if (text_.find('\0') < 1000)
      throw DataError(
          "line 1: there are zero bytes, so this is a binary file or UTF-16 text; a table must be "
          "UTF-8");
  }

  [[nodiscard]] std::int64_t line(std::size_t offset) const {
    return 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
  }

  [[nodiscard]] std::vector<std::string> parse(std::size_t begin) const {
    std::vector<std::string> fields;
    const Row row = walk(begin, &fields);
    if (row.error) throw DataError("line " + std::to_string(line(begin)) + ": " + row.error);
    return fields;
  }

  std::string text_;
  char separator_;
  std::vector<std::string> columns_;
  std::vector<std::size_t> rows_;
  std::optional<std::string> problem_;
};

}  // namespace contrapunto

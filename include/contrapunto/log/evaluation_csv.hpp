// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <c10/util/Exception.h>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/log/evaluation_series.hpp"

namespace contrapunto {

namespace detail {

/// Formats a number with all of its digits.
[[nodiscard]] inline std::string exact_text(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

/// Parses a number, or returns nothing if `text` is anything else.
[[nodiscard]] inline std::optional<double> exact_number(std::string_view text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Splits a row at its commas, and removes the spaces around each field.
[[nodiscard]] inline std::vector<std::string> csv_fields(const std::string& line) {
  std::vector<std::string> fields(1);
  for (const char c : line) {
    if (c == ',')
      fields.emplace_back();
    else
      fields.back() += c;
  }
  for (auto& field : fields) {
    const auto begin = field.find_first_not_of(" \t");
    const auto end = field.find_last_not_of(" \t");
    field = begin == std::string::npos ? "" : field.substr(begin, end - begin + 1);
  }
  return fields;
}

}  // namespace detail

/// Reads a table of evaluations: a header row, whose columns are `epoch`, optionally `samples` and
/// `step`, and any measured values, and a row of numbers for each evaluation. Accuracies are
/// fractions of 1. A field may be empty, except that of the epoch. Lines that begin with # are
/// comments. `path` is such a file or the folder of a run, whose evaluations.csv is read; the name
/// of the series is that of the file or of the folder. Raises DataError with the line for anything
/// else, and if there is no evaluation.
[[nodiscard]] inline EvaluationSeries read_evaluations(const std::filesystem::path& path) {
  const bool folder = std::filesystem::is_directory(path);
  const auto file = folder ? path / "evaluations.csv" : path;
  const auto named = std::filesystem::absolute(path).lexically_normal();
  EvaluationSeries series;
  series.name =
      (folder ? (named.has_filename() ? named : named.parent_path()).filename() : named.stem())
          .string();
  std::istringstream text(read_file(file));
  std::vector<std::string> columns;
  std::int64_t number = 0;
  const auto refuse = [&](const std::string& what) {
    throw DataError("'" + file.string() + "', line " + std::to_string(number) + ": " + what);
  };
  for (std::string line; std::getline(text, line);) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    auto fields = detail::csv_fields(line);
    if (columns.empty()) {
      columns = std::move(fields);
      for (const auto& column : columns)
        if (std::count(columns.begin(), columns.end(), column) > 1 || column.empty())
          refuse("the column '" + column + "' has no name, or a name that comes twice");
      if (std::find(columns.begin(), columns.end(), "epoch") == columns.end())
        refuse("there is no column 'epoch'; the first row names the columns");
      continue;
    }
    if (fields.size() != columns.size())
      refuse(std::to_string(fields.size()) + " fields, but the first row names " +
             std::to_string(columns.size()) + " columns");
    StepRecord record;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (fields[i].empty() && columns[i] != "epoch") continue;
      const auto value = detail::exact_number(fields[i]);
      if (!value) refuse("'" + fields[i] + "' in the column '" + columns[i] + "' is no number");
      if (columns[i] == "step")
        record.step = std::llround(*value);
      else
        record.add(columns[i], *value);
    }
    series.records.push_back(std::move(record));
  }
  if (series.records.empty()) refuse("the table has no evaluation");
  return series;
}

/// Writes a table that read_evaluations() reads, with all digits of the numbers. The file is
/// replaced as a whole. Raises if it cannot be written, and for the name of a value that a table
/// cannot hold.
inline void write_evaluations(const std::filesystem::path& path, const EvaluationSeries& series) {
  const auto names = series.value_names();
  std::string text = "epoch,samples,step";
  for (const auto& name : names) {
    TORCH_CHECK(
        name.find_first_of(",\"#\r\n") == std::string::npos && !name.empty() && name != "step",
        "write_evaluations: '", name,
        "' cannot be the name of a column; use a name without commas, quotes and #");
    text += "," + name;
  }
  text += "\n";
  const auto field = [](const std::optional<double>& value) {
    return value ? detail::exact_text(*value) : std::string();
  };
  for (const auto& record : series.records) {
    text += field(record.find("epoch")) + "," + field(record.find("samples")) + "," +
            std::to_string(record.step);
    for (const auto& name : names) text += "," + field(record.find(name));
    text += "\n";
  }
  write_file_atomically(path, text);
}

}  // namespace contrapunto

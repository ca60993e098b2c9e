// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "contrapunto/evaluate/class_accuracy.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/log/format.hpp"

namespace contrapunto {

/// Writes a CSV file with a row for each class: label, name, images, right, top1 (a fraction, empty
/// without images). Returns a line that names the five classes with the lowest accuracy; it is
/// empty if there was no image. Raises unless there is a name for each class, and if the file
/// cannot be written.
[[nodiscard]] inline std::string report_classes(const std::filesystem::path& path,
                                                const ClassAccuracy& accuracy,
                                                const std::vector<std::string>& names) {
  TORCH_CHECK(names.size() == accuracy.samples_of.size(), "report_classes: there are ",
              names.size(), " names for ", accuracy.samples_of.size(), " classes");
  std::string table = "label,name,images,right,top1\n";
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string quoted;
    for (const char c : names[i]) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    table += std::to_string(i) + ",\"" + quoted + "\"," + std::to_string(accuracy.samples_of[i]) +
             "," + std::to_string(accuracy.right_of[i]) + ",";
    if (accuracy.samples_of[i] > 0)
      table += with_decimals(accuracy.top1_of(static_cast<std::int64_t>(i)), 4);
    table += "\n";
  }
  write_file_atomically(path, table);
  std::string line;
  for (const auto label : accuracy.worst(5)) {
    const auto i = static_cast<std::size_t>(label);
    line += (line.empty() ? "lowest accuracy: " : ", ") + names[i] + " " +
            as_percent(accuracy.top1_of(label)) + " of " + with_commas(accuracy.samples_of[i]);
  }
  return line;
}

}  // namespace contrapunto

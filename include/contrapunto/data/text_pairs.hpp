// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/data_report.hpp"
#include "contrapunto/io/read_file.hpp"
#ifdef CONTRAPUNTO_HAS_TEXT
#include "contrapunto/io/read_gzip.hpp"
#endif

namespace contrapunto {

/// Two texts that belong together.
struct TextPair {
  std::string x;  ///< For example a query.
  std::string y;  ///< The text that it should find.
  /// Pairs of the same group are similar, so their ys are hard negatives of one another. May be
  /// empty.
  std::string group;
};

/// Names of the JSON fields that hold a text pair.
struct TextPairFields {
  std::string x = "query";
  std::string y = "code";
  std::string group = {};  ///< If empty, pairs have no group.
};

/// The result of read_text_pairs.
struct TextPairs {
  std::vector<TextPair> pairs;
  DataReport report;  ///< Lines that were left out: "file:line: reason".
};

namespace detail {

/// Reads a file of JSON lines, plain or gzip-compressed.
inline std::string read_json_lines(const std::filesystem::path& path) {
#ifdef CONTRAPUNTO_HAS_TEXT
  return read_gzip(path);
#else
  std::string text = read_file(path);
  TORCH_CHECK(!text.starts_with("\x1F\x8B"), "'", path.string(),
              "' is a gzip file, and reading it needs the component `text`: use "
              "find_package(Contrapunto COMPONENTS text) and link contrapunto::text, or unpack the "
              "file with gunzip");
  return text;
#endif
}

}  // namespace detail

/// Reads JSON lines with one object per line that has the two fields. A line without such an object
/// or with an empty text is left out and counted. The file may be gzip-compressed in programs that
/// link the component `text`. Raises if the file cannot be read or if no pair remains.
[[nodiscard]] inline TextPairs read_text_pairs(const std::filesystem::path& path,
                                               const TextPairFields& fields = {}) {
  TextPairs result;
  std::istringstream lines(detail::read_json_lines(path));
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty() || line == "\r") continue;
    const auto leave_out = [&](const std::string& reason) {
      result.report.add(path.string() + ":" + std::to_string(number) + ": " + reason);
    };
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) {
      leave_out("no JSON object");
      continue;
    }
    const auto field = [&](const std::string& name) {
      const auto found = object.find(name);
      return found != object.end() && found->is_string() ? found->get<std::string>()
                                                         : std::string();
    };
    TextPair pair{field(fields.x), field(fields.y),
                  fields.group.empty() ? std::string() : field(fields.group)};
    if (pair.x.empty() || pair.y.empty())
      leave_out("field '" + (pair.x.empty() ? fields.x : fields.y) + "' is missing or empty");
    else
      result.pairs.push_back(std::move(pair));
  }
  TORCH_CHECK(!result.pairs.empty(), "'", path.string(), "' holds no text pair with fields '",
              fields.x, "' and '", fields.y, "'",
              result.report.first.empty() ? "" : "; " + result.report.first.front());
  return result;
}

}  // namespace contrapunto

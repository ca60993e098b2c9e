// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/data_report.hpp"
#include "contrapunto/text/detail/vocabulary.hpp"

namespace contrapunto {

/// Two texts that belong together.
struct TextPair {
  std::string x;  ///< A query, say.
  std::string y;  ///< What it should find.
  std::string
      group;  ///< Pairs of one group are alike, so their ys are hard negatives; may be empty.
};

struct TextPairFields {
  std::string x = "query";
  std::string y = "code";
  std::string group = {};  ///< Empty: pairs have no group.
};

struct TextPairs {
  std::vector<TextPair> pairs;
  DataReport report;  ///< Lines that were left out, "file:line: reason".
};

/// Reads JSON lines, plain or gzip-compressed: an object a line with the two fields. A line that is
/// no such object, or where one text is empty, is left out and counted. Raises when the file cannot
/// be read or no pair remains.
[[nodiscard]] inline TextPairs read_text_pairs(const std::filesystem::path& path,
                                               const TextPairFields& fields = {}) {
  std::string text;
  try {
    text = detail::read_plain_or_gzip(path);
  } catch (const std::exception& error) {
    TORCH_CHECK(false, "cannot read text pairs from '", path.string(), "': ", error.what());
  }
  TextPairs result;
  std::istringstream lines(std::move(text));
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

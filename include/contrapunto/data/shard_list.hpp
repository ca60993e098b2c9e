// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <glob.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace contrapunto {

/// Expands braces as bash does: "a{0..2}b{x,y}" gives a0bx, a0by, a1bx ... Numbers keep the width
/// of the longer end if either has leading zeros, and may count down. Raises for an opening brace
/// without a closing one.
[[nodiscard]] inline std::vector<std::string> expand_braces(const std::string& pattern) {
  const std::size_t open = pattern.find('{');
  if (open == std::string::npos) return {pattern};
  std::size_t close = open + 1;
  std::vector<std::size_t> commas;
  for (int depth = 1; close < pattern.size(); ++close) {
    if (pattern[close] == '{') ++depth;
    if (pattern[close] == ',' && depth == 1) commas.push_back(close);
    if (pattern[close] == '}' && --depth == 0) break;
  }
  TORCH_CHECK(close < pattern.size(), "shard pattern '", pattern, "': '{' without '}'");
  const std::string inside = pattern.substr(open + 1, close - open - 1);

  std::vector<std::string> choices;
  const std::size_t dots = inside.find("..");
  if (!commas.empty()) {
    commas.push_back(close);
    std::size_t begin = open + 1;
    for (const std::size_t end : commas) {
      for (auto& choice : expand_braces(pattern.substr(begin, end - begin)))
        choices.push_back(std::move(choice));
      begin = end + 1;
    }
  } else if (dots != std::string::npos) {
    const std::string first = inside.substr(0, dots);
    const std::string last = inside.substr(dots + 2);
    const auto is_number = [](const std::string& text) {
      return !text.empty() && text.size() <= 12 &&
             text.find_first_not_of("0123456789") == std::string::npos;
    };
    TORCH_CHECK(is_number(first) && is_number(last), "shard pattern '", pattern, "': '{", inside,
                "}' is not a range of numbers such as {000..019}");
    const bool padded =
        (first.size() > 1 && first[0] == '0') || (last.size() > 1 && last[0] == '0');
    const std::size_t width = padded ? std::max(first.size(), last.size()) : 0;
    const std::int64_t from = std::stoll(first);
    const std::int64_t to = std::stoll(last);
    TORCH_CHECK(std::abs(to - from) < 10'000'000, "shard pattern '", pattern,
                "': more than ten million shards");
    for (std::int64_t i = from;; i += from <= to ? 1 : -1) {
      std::string number = std::to_string(i);
      if (number.size() < width) number.insert(0, width - number.size(), '0');
      choices.push_back(std::move(number));
      if (i == to) break;
    }
  } else {
    choices = expand_braces(inside);
    // Bash keeps braces around a single choice.
    for (auto& choice : choices) choice = "{" + choice + "}";
  }

  std::vector<std::string> expanded;
  const auto tails = expand_braces(pattern.substr(close + 1));
  for (const auto& choice : choices)
    for (const auto& tail : tails) expanded.push_back(pattern.substr(0, open) + choice + tail);
  return expanded;
}

namespace detail {

/// Splits a list of data at each `::`. Raises for an empty part.
[[nodiscard]] inline std::vector<std::string> split_parts(const std::string& spec) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= spec.size();) {
    const std::size_t end = std::min(spec.find("::", begin), spec.size());
    parts.push_back(spec.substr(begin, end - begin));
    TORCH_CHECK(!parts.back().empty(), "data list '", spec,
                "': there is an empty part next to '::'");
    begin = end + 2;
  }
  return parts;
}

}  // namespace detail

/// Lists the tar files that `spec` describes, in order. `spec` consists of patterns joined by `::`.
/// Each pattern may contain braces and the wildcards * ? [..], or may be a directory, which stands
/// for the *.tar files in it, or a *.txt file with such a pattern on each line, relative to its own
/// folder. Blank lines and lines that begin with # are ignored. A part "pipe:COMMAND" stands for
/// what the command writes; only braces are expanded in it. Raises if a part matches no file.
[[nodiscard]] inline std::vector<std::string> list_shards(const std::string& spec) {
  namespace fs = std::filesystem;
  TORCH_CHECK(!spec.empty(), "no shards given: the list is empty");
  std::vector<std::string> shards;
  for (const std::string& part : detail::split_parts(spec)) {
    if (part.starts_with("pipe:")) {
      for (auto& command : expand_braces(part)) shards.push_back(std::move(command));
      continue;
    }
    if (part.ends_with(".txt")) {
      std::ifstream list(part);
      TORCH_CHECK(list, "shard list '", part, "' cannot be read");
      const std::size_t before = shards.size();
      for (std::string line; std::getline(list, line);) {
        if (line.ends_with('\r')) line.pop_back();
        if (line.empty() || line.front() == '#') continue;
        TORCH_CHECK(!line.ends_with(".txt"), "shard list '", part, "' names another list, '", line,
                    "'; name its shards");
        const bool command = line.starts_with("pipe:");
        for (auto& shard :
             list_shards(command ? line : (fs::path(part).parent_path() / line).string()))
          shards.push_back(std::move(shard));
      }
      TORCH_CHECK(shards.size() > before, "shard list '", part, "' names no shard");
      continue;
    }
    for (const std::string& pattern : expand_braces(part)) {
      const std::size_t before = shards.size();
      if (fs::is_directory(pattern)) {
        for (const auto& entry : fs::directory_iterator(pattern))
          if (entry.path().extension() == ".tar") shards.push_back(entry.path().string());
        std::sort(shards.begin() + static_cast<std::ptrdiff_t>(before), shards.end());
        TORCH_CHECK(shards.size() > before, "directory '", pattern, "' contains no *.tar file");
      } else if (pattern.find_first_of("*?[") != std::string::npos) {
        glob_t found{};
        const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
        for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i)
          shards.emplace_back(found.gl_pathv[i]);
        ::globfree(&found);
        TORCH_CHECK(shards.size() > before, "shard pattern '", pattern, "' matches no file");
      } else {
        TORCH_CHECK(fs::is_regular_file(pattern), "shard '", pattern,
                    "' does not exist; check the path and the range in '", part, "'");
        shards.push_back(pattern);
      }
    }
  }
  return shards;
}

}  // namespace contrapunto

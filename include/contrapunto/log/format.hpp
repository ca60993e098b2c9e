// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace contrapunto {

/// Formats 1234567 as "1,234,567".
[[nodiscard]] inline std::string with_commas(std::int64_t number) {
  auto text = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t i = text.size(); i > first + 3;) {
    i -= 3;
    text.insert(i, ",");
  }
  return text;
}

/// Formats `value` with `digits` significant digits in the shortest form: 0.0005, 1e-06, 14.3.
[[nodiscard]] inline std::string with_digits(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*g", digits, value);
  return text.data();
}

/// Formats `value` with `decimals` digits after the decimal point.
[[nodiscard]] inline std::string with_decimals(double value, int decimals) {
  std::array<char, 400> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

/// Returns whether a value with this name is a fraction that is shown in percent: an accuracy,
/// whose name ends in "top1" or "top5", or a recall, whose name contains "@".
[[nodiscard]] inline bool is_percentage(std::string_view name) {
  return name.ends_with("top1") || name.ends_with("top5") ||
         name.find('@') != std::string_view::npos;
}

/// Formats a fraction of 1 as "12.5 %".
[[nodiscard]] inline std::string as_percent(double share, int decimals = 1) {
  return with_decimals(100 * share, decimals) + " %";
}

/// Formats bytes as "512 B", "1.5 KiB" or "80.0 GiB".
[[nodiscard]] inline std::string as_bytes(double bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  for (; std::abs(bytes) >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  return with_decimals(bytes, unit == 0 ? 0 : 1) + " " + kUnits[unit];
}

/// Formats seconds as "0:42", "12:34", "1:02:03" or "3d 04:05:06", and as "?" if unknown (negative
/// or not finite).
[[nodiscard]] inline std::string as_duration(double seconds) {
  if (!(seconds >= 0) || !std::isfinite(seconds)) return "?";
  const auto total = static_cast<std::int64_t>(std::min(std::round(seconds), 1e15));
  const auto two = [](std::int64_t value) {
    return (value < 10 ? "0" : "") + std::to_string(value);
  };
  const std::int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  const auto tail = ":" + two(total % 60);
  if (days > 0) return with_commas(days) + "d " + two(hours) + ":" + two(minutes) + tail;
  if (hours > 0) return std::to_string(hours) + ":" + two(minutes) + tail;
  return std::to_string(minutes) + tail;
}

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

/// Values of settings as text, as used on the command line, in files and in messages.
namespace contrapunto::detail {

/// Returns the shortest decimal text that reads back as the same number, in any locale.
[[nodiscard]] inline std::string number_text(double value) {
  std::array<char, 40> text{};
  char* end = text.data();
  for (int digits = 1; digits <= 17; ++digits) {
    end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general,
                        digits)
              .ptr;
    double read = 0.0;
    std::from_chars(text.data(), end, read);
    if (read == value) break;
  }
  return {text.data(), end};
}

[[nodiscard]] inline std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

[[nodiscard]] inline std::string setting_text(bool value) {
  return value ? "true" : "false";
}
[[nodiscard]] inline std::string setting_text(std::int64_t value) {
  return std::to_string(value);
}
[[nodiscard]] inline std::string setting_text(std::uint64_t value) {
  return std::to_string(value);
}
[[nodiscard]] inline std::string setting_text(double value) {
  return number_text(value);
}
[[nodiscard]] inline std::string setting_text(const std::string& value) {
  return value;
}
[[nodiscard]] inline std::string setting_text(const std::vector<std::string>& value) {
  return joined(value);
}

/// Reads a number in TOML notation: an optional sign and digits, which underscores may group.
template <class Number>
[[nodiscard]] bool read_number(std::string_view text, Number& value) {
  std::string digits(text);
  std::erase(digits, '_');
  const bool plus = digits.starts_with('+') && !digits.starts_with("+-");
  const auto* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data() + (plus ? 1 : 0), end, value);
  return error == std::errc{} && rest == end;
}

/// Reads `text` into `value`. Returns nothing on success and otherwise what was expected.
[[nodiscard]] inline std::string_view read_setting(std::string_view text, bool& value) {
  if (text != "true" && text != "false") return "true or false";
  value = text == "true";
  return {};
}
[[nodiscard]] inline std::string_view read_setting(std::string_view text, std::int64_t& value) {
  return read_number(text, value) ? "" : "a whole number";
}
[[nodiscard]] inline std::string_view read_setting(std::string_view text, std::uint64_t& value) {
  return read_number(text, value) ? "" : "a whole number that is not negative";
}
[[nodiscard]] inline std::string_view read_setting(std::string_view text, double& value) {
  return read_number(text, value) && std::isfinite(value) ? "" : "a finite number";
}
[[nodiscard]] inline std::string_view read_setting(std::string_view text, std::string& value) {
  value = text;
  return {};
}

}  // namespace contrapunto::detail

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/io/detail/zip.hpp"

namespace contrapunto::detail {

/// What the header of a .npy file says about the elements that follow it.
struct NpyHeader {
  std::string type;  ///< numpy's name, such as "<f4".
  std::vector<std::int64_t> shape;
  bool fortran_order = false;
  std::size_t begin = 0;  ///< Offset of the elements in bytes.
};

/// Reads the dictionary of a header: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
class NpyDictionary {
 public:
  explicit NpyDictionary(std::string_view text) : text_(text) {}

  [[nodiscard]] NpyHeader header() {
    std::optional<std::string> type;
    std::optional<bool> order;
    std::optional<std::vector<std::int64_t>> shape;
    expect('{');
    while (!accept('}')) {
      const auto key = string();
      expect(':');
      if (key == "descr" && !type)
        type = string();
      else if (key == "fortran_order" && !order)
        order = truth();
      else if (key == "shape" && !shape)
        shape = tuple();
      else
        throw DataError("has the entry '" + key + "' in its header, which .npy files do not have");
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!text_.empty() || !type || !order || !shape)
      throw DataError("has a damaged header: expected descr, fortran_order and shape");
    return {.type = *type, .shape = *shape, .fortran_order = *order};
  }

 private:
  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \n"), text_.size())); }

  bool accept(char symbol) {
    skip_space();
    if (!text_.starts_with(symbol)) return false;
    text_.remove_prefix(1);
    return true;
  }

  void expect(char symbol) {
    if (!accept(symbol))
      throw DataError(std::string("has a damaged header: expected '") + symbol + "'");
  }

  std::string string() {
    skip_space();
    const char quote = text_.starts_with('"') ? '"' : '\'';
    if (text_.starts_with('[')) throw DataError("is an array of records, which no weights have");
    expect(quote);
    const auto end = text_.find(quote);
    if (end == std::string_view::npos) throw DataError("has a damaged header: a text has no end");
    const std::string result(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return result;
  }

  bool truth() {
    skip_space();
    for (const std::string_view word : {"True", "False"})
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return word == "True";
      }
    throw DataError("has a damaged header: expected True or False");
  }

  std::vector<std::int64_t> tuple() {
    constexpr std::size_t kMostDimensions = 64;  // Of numpy 2 and of tensors.
    std::vector<std::int64_t> numbers;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), number);
      if (error != std::errc() || number < 0 || numbers.size() == kMostDimensions)
        throw DataError("has a damaged header: its shape is no list of at most 64 sizes");
      numbers.push_back(number);
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return numbers;
  }

  std::string_view text_;
};

/// Returns the bytes of an element of numpy's type `name`; 0 if weights do not have it. bfloat16,
/// which numpy does not know, is void of two bytes.
inline std::size_t npy_element_bytes(std::string_view name) {
  if (name == "|u1" || name == "<u1") return 1;
  if (name == "<f2" || name == "|V2" || name == "<V2") return 2;
  if (name == "<f4" || name == "<i4") return 4;
  return name == "<f8" || name == "<i8" ? 8 : 0;
}

/// Reads the header of the .npy file `file`. Raises DataError if the file is damaged, or if its
/// elements do not fill it exactly.
inline NpyHeader read_npy_header(std::string_view file) {
  constexpr std::size_t kMagic = 8;  // With the version.
  if (!file.starts_with("\x93NUMPY") || file.size() < kMagic + 2)
    throw DataError("is no .npy array");
  const int version = static_cast<unsigned char>(file[6]);
  if (version < 1 || version > 3)
    throw DataError("is a .npy array of version " + std::to_string(version) +
                    "; versions 1 to 3 are known");
  const std::size_t prefix = kMagic + (version == 1 ? 2 : 4);
  if (file.size() < prefix) throw DataError("is a .npy array without a header");
  const std::size_t length = version == 1 ? zip_number<std::uint16_t>(file, kMagic)
                                          : zip_number<std::uint32_t>(file, kMagic);
  if (length > file.size() - prefix)
    throw DataError("has a header of " + std::to_string(length) + " bytes, more than it is long");
  auto header = NpyDictionary(file.substr(prefix, length)).header();
  header.begin = prefix + length;
  if (header.type.find('O') != std::string::npos)
    throw DataError(
        "is an array of Python objects, which could only be read by executing what the file says");
  const auto width = npy_element_bytes(header.type);
  if (width == 0)
    throw DataError("has the type '" + header.type +
                    "'; known are little-endian f2, f4, f8, i4, i8, u1, and V2 for bfloat16");
  auto bytes = static_cast<std::int64_t>(width), stride = bytes;
  bool fits = true;
  for (const auto extent : header.shape)
    fits = fits && !__builtin_mul_overflow(bytes, extent, &bytes) &&
           !__builtin_mul_overflow(stride, std::max<std::int64_t>(extent, 1), &stride);
  if (!fits || static_cast<std::uint64_t>(bytes) != file.size() - header.begin) {
    std::string shape;
    for (const auto extent : header.shape)
      shape += (shape.empty() ? "" : ", ") + std::to_string(extent);
    throw DataError("has the shape (" + shape + ") of '" + header.type +
                    "', which does not fill its " + std::to_string(file.size() - header.begin) +
                    " bytes of elements");
  }
  return header;
}

}  // namespace contrapunto::detail

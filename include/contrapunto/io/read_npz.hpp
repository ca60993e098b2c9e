// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/io/detail/file_bytes.hpp"
#include "contrapunto/io/detail/npy.hpp"
#include "contrapunto/io/detail/zip.hpp"

namespace contrapunto {

namespace detail {

/// The types of .npy arrays that weights have.
inline constexpr std::array<std::pair<std::string_view, at::ScalarType>, 7> kNpyTypes{{
    {"<f2", at::kHalf},
    {"<f4", at::kFloat},
    {"<f8", at::kDouble},
    {"<i4", at::kInt},
    {"<i8", at::kLong},
    {"|u1", at::kByte},
    {"|V2", at::kBFloat16},
}};

/// Returns the array of the .npy file `file` as a contiguous tensor.
inline at::Tensor tensor_of_npy(std::string_view file) {
  const auto header = read_npy_header(file);
  // The byte order of a type is "|" where it has no meaning, but JAX writes "<V2".
  const auto type = std::find_if(kNpyTypes.begin(), kNpyTypes.end(), [&](const auto& known) {
                      return known.first.substr(1) == std::string_view(header.type).substr(1);
                    })->second;
  auto shape = header.shape;
  if (header.fortran_order) std::reverse(shape.begin(), shape.end());
  auto tensor = at::empty(shape, type);
  const auto elements = file.substr(header.begin);
  if (!elements.empty()) std::memcpy(tensor.mutable_data_ptr(), elements.data(), elements.size());
  if (!header.fortran_order) return tensor;
  std::vector<std::int64_t> order(shape.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<std::int64_t>(order.size() - 1 - i);
  return tensor.permute(order).contiguous();
}

}  // namespace detail

/// Returns the arrays of a file that numpy.savez or numpy.savez_compressed wrote, by their names,
/// on the CPU and contiguous. Arrays in Fortran order are turned to C order, and void of two bytes
/// is read as bfloat16, which JAX saves in this way. Raises DataError with the file and the part
/// for a damaged or truncated file, for other types than little-endian f2, f4, f8, i4, i8, u1 and
/// V2, for arrays of Python objects, and for parts that are no arrays. Raises if the file cannot be
/// opened or read.
[[nodiscard]] inline TensorMap read_npz(const std::filesystem::path& path) {
  const auto file = detail::file_bytes(path);
  TensorMap tensors;
  try {
    for (const auto& [name, part] : detail::list_zip(file, /*compressed=*/true)) {
      const auto bytes = detail::read_zip(file, name, part);
      const std::string ending = ".npy";
      try {
        if (!name.ends_with(ending)) throw DataError("is no .npy array");
        tensors.emplace(name.substr(0, name.size() - ending.size()), detail::tensor_of_npy(bytes));
      } catch (const DataError& error) {
        throw DataError("part '" + name + "' " + error.what());
      }
    }
  } catch (const DataError& error) {
    throw DataError("weights '" + path.string() + "': " + error.what());
  }
  return tensors;
}

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/core/state.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/detail/typed_tensor.hpp"
#include "contrapunto/io/detail/zip_writer.hpp"
#include "contrapunto/io/read_npz.hpp"

namespace contrapunto {

namespace detail {

/// Returns the header of a .npy file with the elements of `tensor` in C order.
inline std::string npy_header(const at::Tensor& tensor, std::string_view type) {
  std::string shape;
  for (const auto extent : tensor.sizes()) shape += std::to_string(extent) + ", ";
  // numpy writes (3,) for one dimension and (3, 4) for two.
  if (tensor.dim() == 1) shape.resize(shape.size() - 1);
  if (tensor.dim() > 1) shape.resize(shape.size() - 2);
  std::string text =
      "{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  // The elements begin at a multiple of 64 bytes.
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  text.resize((kPrefix + text.size() + kAlignment) / kAlignment * kAlignment - kPrefix - 1, ' ');
  text += '\n';
  std::string header = "\x93NUMPY\x01";
  header += '\0';
  header += static_cast<char>(text.size() & 0xFFU);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace detail

/// Writes `tensors` (any device, any strides) atomically as a file that numpy.load reads, without
/// compression, in the zip64 format if it needs more than 4 GiB. bfloat16 is written as void of two
/// bytes, which numpy shows as such; `array.view(ml_dtypes.bfloat16)` has the numbers. The bytes
/// depend only on the arguments. Raises for a dtype other than those that read_npz() reads, for
/// tensors that are undefined or not dense, and for names that are empty or not printable ASCII.
inline void write_npz(const std::filesystem::path& path, const TensorMap& tensors) {
  std::vector<detail::TypedTensor> items;
  for (const auto& [name, tensor] : tensors) {
    const auto where = "write_npz('" + path.string() + "'): tensor '" + name + "' ";
    constexpr std::size_t kLongest = 60'000;  // The format has 16 bits for it.
    TORCH_CHECK(
        !name.empty() && name.size() <= kLongest &&
            std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; }),
        where, "has a name that is empty, too long or not printable ASCII");
    items.push_back(
        detail::typed_tensor(where, name, tensor, detail::kNpyTypes,
                             ", which files of weights in .npz do not have; convert it"));
  }
  AtomicFile file(path);
  detail::ZipWriter zip(file);
  for (const auto& item : items) {
    const auto plain = item.tensor->detach().cpu().contiguous();
    zip.add(*item.name + ".npy", detail::npy_header(plain, item.type),
            {static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()});
  }
  zip.finish();
  file.commit();
}

}  // namespace contrapunto

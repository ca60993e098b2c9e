// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/io/detail/file_bytes.hpp"
#include "contrapunto/io/detail/torch_archive.hpp"
#include "contrapunto/io/safetensors.hpp"

namespace contrapunto {

/// Returns the tensors of a state dict that torch.save of PyTorch 1.6 or newer wrote, on the CPU.
/// If the file holds a dictionary with the state dict under "state_dict" or "model", as checkpoints
/// of training programs do, its other entries are left out. Nothing in the file is executed: what a
/// state dict does not need is refused, with the name and its offset. Tensors that shared memory
/// when they were saved share it again, except those of bools. Raises DataError with the file for a
/// damaged or truncated file, for a TorchScript program, and for tensors of other dtypes than
/// safetensors files have. Raises if the file cannot be opened or read.
[[nodiscard]] inline TensorMap read_torch_state(const std::filesystem::path& path) {
  const auto file = detail::file_bytes(path);
  TensorMap tensors;
  try {
    const auto archive = detail::read_torch_archive(file);
    std::map<std::string, at::Tensor> storages;
    for (const auto& [name, part] : archive->parts) {
      auto bytes = at::empty({static_cast<std::int64_t>(part.size)}, at::kByte);
      detail::read_zip(file, archive->folder + "data/" + name, part,
                       static_cast<char*>(bytes.mutable_data_ptr()));
      storages.emplace(name, bytes);
    }
    for (const auto& [name, entry] : archive->tensors) {
      const auto type =
          std::find_if(detail::kSafetensorsTypes.begin(), detail::kSafetensorsTypes.end(),
                       [&](const auto& known) { return known.first == entry.type; });
      // Bools are read as bytes, because a bool other than 0 or 1 is undefined behavior.
      const bool is_bool = type->second == at::kBool;
      const auto width = static_cast<std::int64_t>(entry.element_bytes);
      const auto& bytes = storages.at(std::string(entry.storage));
      const auto elements = bytes.narrow(0, 0, bytes.size(0) / width * width)
                                .view(is_bool ? at::kByte : type->second);
      const bool empty = std::find(entry.sizes.begin(), entry.sizes.end(), 0) != entry.sizes.end();
      auto tensor = empty ? at::empty(entry.sizes, elements.options())
                          : elements.as_strided(entry.sizes, entry.strides, entry.offset);
      tensors.emplace(name, is_bool ? tensor.ne(0) : tensor);
    }
  } catch (const DataError& error) {
    throw DataError("weights '" + path.string() + "': " + error.what());
  }
  return tensors;
}

}  // namespace contrapunto

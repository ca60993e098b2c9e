// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "contrapunto/core/state.hpp"
#include "contrapunto/io/mapped_safetensors.hpp"
#include "contrapunto/io/read_npz.hpp"
#include "contrapunto/io/read_torch_state.hpp"
#include "contrapunto/io/safetensors.hpp"

namespace contrapunto {

/// Whether `path` has the ending of a file of weights: .safetensors, PyTorch's .pt, .pth or .bin,
/// or numpy's .npz.
[[nodiscard]] inline bool is_weights_path(const std::filesystem::path& path) {
  const auto ending = path.extension();
  return ending == ".safetensors" || ending == ".pt" || ending == ".pth" || ending == ".bin" ||
         ending == ".npz";
}

/// How read_weights() treats safetensors files.
enum class WeightsAccess {
  kRead,   ///< As read_safetensors() does.
  kMapped  ///< As map_safetensors() does: for tensors that are only read, and soon.
};

/// Returns the tensors of a file of weights, on the CPU. A folder stands for model.safetensors or
/// open_clip_model.safetensors in it, as Hugging Face's transformers and OpenCLIP name them. With
/// the ending .npz, arrays of numpy; a state dict of torch.save, which is recognized by its first
/// bytes or by the ending .pt, .pth or .bin; or else a safetensors file. Raises as read_npz(),
/// read_torch_state() and read_safetensors() do.
[[nodiscard]] inline TensorMap read_weights(const std::filesystem::path& path,
                                            WeightsAccess access = WeightsAccess::kRead) {
  const auto read = [&](const std::filesystem::path& file) {
    return access == WeightsAccess::kMapped ? map_safetensors(file) : read_safetensors(file);
  };
  if (std::filesystem::is_directory(path)) {
    for (const auto* name : {"model.safetensors", "open_clip_model.safetensors"})
      if (std::filesystem::exists(path / name)) return read(path / name);
    TORCH_CHECK(false, "read_weights: the folder '", path.string(),
                "' has neither model.safetensors nor open_clip_model.safetensors; give the file");
  }
  if (path.extension() == ".npz") return read_npz(path);
  std::array<char, 4> head{};
  std::ifstream(path, std::ios::binary).read(head.data(), head.size());
  const bool is_zip = std::string(head.data(), head.size()) == "PK\x03\x04";
  const bool is_torch = is_zip || (is_weights_path(path) && path.extension() != ".safetensors");
  return is_torch ? read_torch_state(path) : read(path);
}

}  // namespace contrapunto

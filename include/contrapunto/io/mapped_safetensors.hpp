// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/state.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/safetensors.hpp"

namespace contrapunto {

/// A safetensors file whose tensors are read in place: the system loads the pages that are used and
/// drops them when memory is short. Any number of threads may read. The file must not be truncated
/// or written to while it is mapped, because the system then ends the process; to replace it, write
/// another file and rename it.
class MappedSafetensors {
 public:
  /// The bytes of one tensor, in row-major order, as long as the file is mapped.
  struct View {
    at::ScalarType type = at::kFloat;
    std::vector<std::int64_t> shape = {};
    std::string_view bytes = {};
  };

  /// Maps `path`. Raises, as read_safetensors() does, if the header is inconsistent with itself or
  /// with the size of the file, and if the system refuses.
  explicit MappedSafetensors(std::filesystem::path path) : path_(std::move(path)) {
    std::ifstream stream(path_, std::ios::binary);
    auto header = detail::read_safetensors_header(stream, path_.string());
    size_ = header.data_begin;
    for (const auto& entry : header.entries) size_ = header.data_begin + entry.end;
    const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    TORCH_CHECK(descriptor >= 0, "cannot open '", path_.string(), "': ", detail::errno_text(errno));
    void* const begin = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
    const int error = errno;
    ::close(descriptor);
    TORCH_CHECK(begin != MAP_FAILED, "cannot map '", path_.string(),
                "' into memory: ", detail::errno_text(error));
    begin_ = static_cast<const char*>(begin);
    for (auto& entry : header.entries)
      views_[entry.name] = {entry.type,
                            std::move(entry.shape),
                            {begin_ + header.data_begin + entry.begin, entry.end - entry.begin}};
    metadata_ = std::move(header.metadata);
  }
  MappedSafetensors(const MappedSafetensors&) = delete;
  MappedSafetensors& operator=(const MappedSafetensors&) = delete;
  ~MappedSafetensors() { ::munmap(const_cast<char*>(begin_), size_); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// All tensors, by name.
  [[nodiscard]] const std::map<std::string, View>& views() const { return views_; }

  /// Returns the tensor `name`. Raises if it is missing or if its type or shape is another one.
  [[nodiscard]] const View& at(const std::string& name, at::ScalarType type,
                               const std::vector<std::int64_t>& shape) const {
    const auto found = views_.find(name);
    TORCH_CHECK(found != views_.end(), "safetensors file '", path_.string(), "' has no tensor '",
                name, "'");
    const View& view = found->second;
    TORCH_CHECK(view.type == type && view.shape == shape, "safetensors file '", path_.string(),
                "': tensor '", name, "' is ", view.type, " ", view.shape, " instead of ", type, " ",
                shape);
    return view;
  }

 private:
  std::filesystem::path path_;
  const char* begin_ = nullptr;
  std::size_t size_ = 0;
  std::map<std::string, View> views_;
  std::map<std::string, std::string> metadata_;
};

/// Returns all tensors of a safetensors file, which is mapped and not read, as long as one of them
/// exists: memory holds only what is used, and the system may drop it. They must not be written to,
/// and the file must not change; see MappedSafetensors. Tensors of bools, and those that do not
/// begin at a multiple of the size of their numbers, are copied. Raises as MappedSafetensors does.
[[nodiscard]] inline TensorMap map_safetensors(const std::filesystem::path& path) {
  const auto file = std::make_shared<MappedSafetensors>(path);
  TensorMap tensors;
  for (const auto& [name, view] : file->views()) {
    const bool is_bool = view.type == at::kBool;
    const auto type = is_bool ? at::kByte : view.type;
    const auto aligned =
        reinterpret_cast<std::uintptr_t>(view.bytes.data()) % c10::elementSize(type) == 0;
    if (view.bytes.empty() || !aligned) {
      auto tensor = at::empty(view.shape, type);
      std::copy(view.bytes.begin(), view.bytes.end(), static_cast<char*>(tensor.data_ptr()));
      tensors.emplace(name, is_bool ? tensor.ne(0) : tensor);
      continue;
    }
    const auto tensor = at::from_blob(
        const_cast<char*>(view.bytes.data()), view.shape, [file](void*) {}, type);
    tensors.emplace(name, is_bool ? tensor.ne(0) : tensor);
  }
  return tensors;
}

}  // namespace contrapunto

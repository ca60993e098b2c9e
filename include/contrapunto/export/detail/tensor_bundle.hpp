// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_EXPORT
#error \
    "Contrapunto: a tensor bundle needs the component `export` (protozero): use \
find_package(Contrapunto COMPONENTS export) and link contrapunto::export"
#endif

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <protozero/varint.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "contrapunto/export/detail/graph_def.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/detail/crc32c.hpp"

namespace contrapunto::detail {

/// Appends a number in little-endian order.
template <class Number>
void append_fixed(std::string& bytes, Number number) {
  for (std::size_t i = 0; i < sizeof(number); ++i)
    bytes += static_cast<char>((number >> (8 * i)) & 0xFFU);
}

/// A block of a LevelDB table. Keys are added in ascending order. Each holds what it does not share
/// with the one before it, except for every 16th, which is whole.
class LevelDbBlock {
 public:
  void add(std::string_view key, std::string_view value) {
    std::size_t shared = 0;
    if (count_++ % kWhole == 0) {
      append_fixed(restarts_, static_cast<std::uint32_t>(bytes_.size()));
    } else {
      const auto size = std::min(key.size(), last_.size());
      while (shared < size && key[shared] == last_[shared]) ++shared;
    }
    protozero::add_varint_to_buffer(&bytes_, shared);
    protozero::add_varint_to_buffer(&bytes_, key.size() - shared);
    protozero::add_varint_to_buffer(&bytes_, value.size());
    bytes_ += key.substr(shared);
    bytes_ += value;
    last_ = key;
  }

  /// The block and the 5 bytes behind it: its compression (none) and its checksum.
  [[nodiscard]] std::string finished() const {
    auto block = bytes_ + restarts_;
    if (count_ == 0) append_fixed(block, std::uint32_t{0});
    append_fixed(block, std::max<std::uint32_t>(1, (count_ + kWhole - 1) / kWhole));
    block += '\0';
    append_fixed(block, masked_crc(crc32c(block)));
    return block;
  }

 private:
  static constexpr std::uint32_t kWhole = 16;
  std::string bytes_;
  std::string restarts_;
  std::string last_;
  std::uint32_t count_ = 0;
};

/// Returns a LevelDB table of one block with `entries`, byte by byte as TensorFlow writes it.
[[nodiscard]] inline std::string leveldb_table(const std::map<std::string, std::string>& entries) {
  std::string table, handle, footer;
  // Appends a block and to `handle` its place.
  const auto append = [&table](const LevelDbBlock& block, std::string& place) {
    constexpr std::size_t kTrailer = 5;
    const auto bytes = block.finished();
    protozero::add_varint_to_buffer(&place, table.size());
    protozero::add_varint_to_buffer(&place, bytes.size() - kTrailer);
    table += bytes;
  };
  LevelDbBlock data;
  for (const auto& [key, value] : entries) data.add(key, value);
  append(data, handle);
  append(LevelDbBlock(), footer);
  // The index names a key that is not before the last one: its first byte and one more.
  std::string bound(1, entries.rbegin()->first.empty() ? '\0' : entries.rbegin()->first[0]);
  ++bound[0];
  LevelDbBlock index;
  index.add(bound, handle);
  append(index, footer);
  constexpr std::size_t kHandles = 40;
  footer.resize(kHandles, '\0');
  append_fixed(footer, std::uint64_t{0xDB4775248B80FB57U});
  return table + footer;
}

/// Writes the variables of a SavedModel: PREFIX.data-00000-of-00001 with the numbers, as tensors
/// are added, and at the end PREFIX.index.
class TensorBundle {
 public:
  explicit TensorBundle(std::filesystem::path prefix)
      : prefix_(std::move(prefix)), data_(with_suffix(".data-00000-of-00001")) {
    protozero::pbf_writer header(entries_[""]);
    header.add_int32(1, 1);  // Number of files.
    protozero::pbf_writer version(header, 3);
    version.add_int32(1, 1);
  }

  /// Appends `tensor`, which is on the CPU and contiguous. `name` is new, in ASCII.
  void add(const std::string& name, const at::Tensor& tensor) {
    const std::string_view bytes(static_cast<const char*>(tensor.const_data_ptr()),
                                 tensor.nbytes());
    auto& text = entries_[name];
    TORCH_INTERNAL_ASSERT(text.empty(), "TensorBundle: there is a tensor '", name, "' already");
    protozero::pbf_writer entry(text);
    entry.add_enum(1, tensorflow_type(tensor.scalar_type()));
    entry.add_message(2, shape_proto(tensor.sizes()));
    if (offset_ > 0) entry.add_int64(4, offset_);
    entry.add_int64(5, static_cast<std::int64_t>(bytes.size()));
    entry.add_fixed32(6, masked_crc(crc32c(bytes)));
    data_.write(bytes);
    offset_ += static_cast<std::int64_t>(bytes.size());
  }

  /// Call it once.
  void finish() {
    data_.commit();
    write_file_atomically(with_suffix(".index"), leveldb_table(entries_));
  }

 private:
  [[nodiscard]] std::filesystem::path with_suffix(const char* suffix) const {
    auto path = prefix_;
    path += suffix;
    return path;
  }

  std::filesystem::path prefix_;
  AtomicFile data_;
  std::int64_t offset_ = 0;
  std::map<std::string, std::string> entries_;
};

}  // namespace contrapunto::detail

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/detail/typed_tensor.hpp"

namespace contrapunto {

namespace detail {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

inline constexpr std::array<std::pair<std::string_view, at::ScalarType>, 10> kSafetensorsTypes{{
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
}};

struct SafetensorsEntry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< Offset from the end of the header, in bytes.
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< Sorted by the offset of their data.
  std::map<std::string, std::string> metadata;
  std::uint64_t data_begin = 0;  ///< Offset from the start of the file, in bytes.
  std::uint64_t checksum = 0;    ///< Checksum of the bytes before the data.
};

/// Computes the bytes of a tensor of this shape. Returns false if the number overflows, or if the
/// strides do, which are the products of the extents even if one of these is 0.
inline bool safetensors_bytes(const SafetensorsEntry& entry, std::uint64_t* bytes) {
  *bytes = c10::elementSize(entry.type);
  std::int64_t stride = static_cast<std::int64_t>(*bytes);
  for (const auto extent : entry.shape)
    if (__builtin_mul_overflow(*bytes, static_cast<std::uint64_t>(extent), bytes) ||
        __builtin_mul_overflow(stride, std::max<std::int64_t>(extent, 1), &stride))
      return false;
  return true;
}

/// Reads the entry of one tensor and checks it against the `data_bytes` that follow the header.
inline SafetensorsEntry safetensors_entry(const std::string& file, const std::string& name,
                                          const nlohmann::json& json, std::uint64_t data_bytes) {
  const auto where = "safetensors file '" + file + "', tensor '" + name + "': ";
  const auto is_sizes = [](const nlohmann::json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), [](const auto& value) {
             return value.is_number_unsigned() && value.template get<std::uint64_t>() <= INT64_MAX;
           });
  };
  TORCH_CHECK(json.is_object() && json.contains("dtype") && json["dtype"].is_string() &&
                  json.contains("shape") && is_sizes(json["shape"]) &&
                  json.contains("data_offsets") && is_sizes(json["data_offsets"]) &&
                  json["data_offsets"].size() == 2,
              where, "needs a dtype, a shape and two data_offsets");

  SafetensorsEntry entry;
  entry.name = name;
  const auto& type_name = json["dtype"].get_ref<const std::string&>();
  const auto type = std::find_if(kSafetensorsTypes.begin(), kSafetensorsTypes.end(),
                                 [&](const auto& pair) { return pair.first == type_name; });
  TORCH_CHECK(type != kSafetensorsTypes.end(), where, "dtype ", type_name, " is not supported");
  entry.type = type->second;
  entry.shape = json["shape"].get<std::vector<std::int64_t>>();
  entry.begin = json["data_offsets"][0].get<std::uint64_t>();
  entry.end = json["data_offsets"][1].get<std::uint64_t>();
  TORCH_CHECK(entry.begin <= entry.end && entry.end <= data_bytes, where, "data_offsets [",
              entry.begin, ", ", entry.end, "] lie outside the ", data_bytes,
              " bytes of data; the file is damaged or truncated");
  std::uint64_t bytes = 0;
  TORCH_CHECK(safetensors_bytes(entry, &bytes) && bytes == entry.end - entry.begin, where, "shape ",
              json["shape"].dump(), " of ", type_name, " does not fill its ",
              entry.end - entry.begin, " bytes");
  return entry;
}

/// Reads and checks everything before the bytes of the first tensor.
inline SafetensorsHeader read_safetensors_header(std::ifstream& stream, const std::string& file) {
  const auto where = "safetensors file '" + file + "': ";
  TORCH_CHECK(stream, where, "cannot be opened");
  stream.seekg(0, std::ios::end);
  const auto end = static_cast<std::int64_t>(stream.tellg());
  TORCH_CHECK(end >= 8, where, "has ", end, " bytes, too few for a header");
  const auto file_bytes = static_cast<std::uint64_t>(end);
  stream.seekg(0);
  std::array<char, 8> prefix{};
  stream.read(prefix.data(), prefix.size());
  TORCH_CHECK(stream, where, "cannot be read");
  std::uint64_t length = 0;
  std::memcpy(&length, prefix.data(), sizeof(length));
  TORCH_CHECK(length <= file_bytes - 8, where, "header of ", length, " bytes is longer than the ",
              file_bytes, " bytes of the file; it is damaged, truncated or not a safetensors file");
  std::string text(length, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(length));
  TORCH_CHECK(stream, where, "cannot be read");

  std::set<std::string> seen;
  std::string duplicate;
  const auto notice_names = [&](int depth, nlohmann::json::parse_event_t event,
                                nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::key && depth == 1) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!seen.insert(name).second) duplicate = name;
    }
    return true;
  };
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(text, notice_names);
  } catch (const nlohmann::json::exception& error) {
    TORCH_CHECK(false, where, "header is not valid JSON: ", error.what());
  }
  TORCH_CHECK(json.is_object(), where, "header is not a JSON object");
  TORCH_CHECK(duplicate.empty(), where, "tensor '", duplicate, "' appears twice in the header");

  SafetensorsHeader header;
  header.data_begin = 8 + length;
  header.checksum = checksum_of(text, checksum_of({prefix.data(), prefix.size()}));
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      header.entries.push_back(
          safetensors_entry(file, name, value, file_bytes - header.data_begin));
      continue;
    }
    TORCH_CHECK(value.is_object(), where, "__metadata__ is not an object");
    for (const auto& [key, word] : value.items()) {
      TORCH_CHECK(word.is_string(), where, "__metadata__ entry '", key, "' is not a text");
      header.metadata[key] = word.get<std::string>();
    }
  }
  std::stable_sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  // Gaps are also rejected: the format does not allow them, so a gap is a sign of damage.
  std::uint64_t previous = 0;
  for (const auto& entry : header.entries) {
    TORCH_CHECK(entry.begin == previous, where, "tensor '", entry.name, "' begins at byte ",
                entry.begin, " of the data, but the one before ends at ", previous);
    previous = entry.end;
  }
  TORCH_CHECK(previous == file_bytes - header.data_begin, where, "holds ",
              file_bytes - header.data_begin, " bytes of data, but its tensors fill only ",
              previous);
  return header;
}

}  // namespace detail

/// Returns all tensors of a safetensors file, on the CPU. Raises with the file and the tensor if
/// the contents are inconsistent with each other or with the file size. Raises if `checksum`, which
/// write_safetensors() returned, is given and differs. Types: F64 F32 F16 BF16 I64 I32 I16 I8 U8
/// BOOL.
[[nodiscard]] inline TensorMap read_safetensors(
    const std::filesystem::path& path, std::optional<std::uint64_t> checksum = std::nullopt) {
  std::ifstream stream(path, std::ios::binary);
  const auto header = detail::read_safetensors_header(stream, path.string());
  TensorMap tensors;
  auto found = header.checksum;
  for (const auto& entry : header.entries) {
    // Bools are read as bytes, because a bool other than 0 or 1 is undefined behavior.
    const bool is_bool = entry.type == at::kBool;
    auto tensor = at::empty(entry.shape, is_bool ? at::kByte : entry.type);
    stream.read(static_cast<char*>(tensor.mutable_data_ptr()),
                static_cast<std::streamsize>(entry.end - entry.begin));
    TORCH_CHECK(stream, "safetensors file '", path.string(), "', tensor '", entry.name,
                "': cannot be read");
    if (checksum)
      found =
          checksum_of({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}, found);
    tensors.emplace(entry.name, is_bool ? tensor.ne(0) : tensor);
  }
  TORCH_CHECK(!checksum || *checksum == found, "safetensors file '", path.string(),
              "': its bytes are not those that were written (the checksum is ", found,
              " instead of ", *checksum, "); the disk or a copy has damaged it");
  return tensors;
}

/// Returns the metadata texts of a safetensors file; empty if it has none.
[[nodiscard]] inline std::map<std::string, std::string> read_safetensors_metadata(
    const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return detail::read_safetensors_header(stream, path.string()).metadata;
}

/// Writes `tensors` (any device, any strides) atomically as a safetensors file. The bytes depend
/// only on the arguments. Returns a checksum for read_safetensors(). Raises for a dtype that the
/// format does not have, for tensors that are undefined or not dense, and for text that is not
/// valid UTF-8.
inline std::uint64_t write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                                       const std::map<std::string, std::string>& metadata = {}) {
  std::vector<detail::TypedTensor> items;
  for (const auto& [name, tensor] : tensors) {
    const auto where = "write_safetensors('" + path.string() + "'): tensor '" + name + "' ";
    TORCH_CHECK(name != "__metadata__", where, "has a name that the format reserves");
    items.push_back(detail::typed_tensor(where, name, tensor, detail::kSafetensorsTypes,
                                         ", which the safetensors format does not have"));
  }
  // Wide types come first, so that every tensor is aligned for readers that map the file.
  std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
    return a.tensor->element_size() > b.tensor->element_size();
  });

  auto json = nlohmann::json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  std::int64_t offset = 0;
  for (const auto& item : items) {
    const auto bytes = item.tensor->numel() * item.tensor->element_size();
    json[*item.name] = {{"dtype", item.type},
                        {"shape", item.tensor->sizes().vec()},
                        {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string header;
  try {
    header = json.dump();
  } catch (const nlohmann::json::exception& error) {
    TORCH_CHECK(false, "write_safetensors('", path.string(),
                "'): a name or a metadata text is not valid UTF-8: ", error.what());
  }
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  std::array<char, 8> prefix{};
  std::memcpy(prefix.data(), &length, sizeof(length));

  AtomicFile file(path);
  std::uint64_t checksum = 0;
  const auto write = [&](std::string_view bytes) {
    checksum = checksum_of(bytes, checksum);
    file.write(bytes);
  };
  write({prefix.data(), prefix.size()});
  write(header);
  for (const auto& item : items) {
    const auto plain = item.tensor->detach().cpu().contiguous();
    write({static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()});
  }
  file.commit();
  return checksum;
}

}  // namespace contrapunto

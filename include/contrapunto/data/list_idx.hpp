// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/tar_reader.hpp"

namespace contrapunto {

/// Returns the members of a shard from the index that DALI's wds2idx has written beside it,
/// NAME.idx for NAME.tar, so that the headers need not be read. Returns nothing if there is none of
/// version 1.2, which has the names of the members; if it is older than the shard; or if some of
/// its members are not in the shard where it says. `file` is the shard.
[[nodiscard]] inline std::optional<TarListing> list_idx(const detail::RandomAccessFile& file) {
  namespace fs = std::filesystem;
  constexpr std::size_t kChecked = 16;
  const fs::path path = fs::path(file.path()).replace_extension(".idx");
  std::ifstream lines(path);
  std::string version, line;
  std::size_t samples = 0;
  if (!lines || !(lines >> version >> samples) || version != "v1.2") return std::nullopt;
  std::error_code error;
  if (fs::last_write_time(path, error) < fs::last_write_time(file.path(), error) || error)
    return std::nullopt;
  std::getline(lines, line);
  TarListing listing;
  for (; std::getline(lines, line) && !line.empty(); --samples) {
    if (samples == 0) return std::nullopt;
    // Names that contain blanks cannot be told apart.
    std::istringstream words(line);
    std::string extension;
    for (TarMember member; words >> extension;) {
      if (!(words >> member.offset >> member.size >> member.name) ||
          !member.name.ends_with("." + extension) || member.offset + member.size > file.size() ||
          member.offset % detail::kTarBlock != 0)
        return std::nullopt;
      listing.members.push_back(member);
    }
  }
  if (samples != 0 || listing.members.empty()) return std::nullopt;
  const std::size_t step = std::max<std::size_t>(listing.members.size() / kChecked, 1);
  for (std::size_t i = 0; i < listing.members.size(); i += step) {
    const TarMember& member = listing.members[i];
    if (member.offset < detail::kTarBlock) return std::nullopt;
    detail::TarHeader header;
    file.read(member.offset - detail::kTarBlock, header.data(), header.size());
    const std::string name(reinterpret_cast<const char*>(header.data()), 100);
    const auto size = detail::tar_number(header.data() + 124, 12);
    // A long name is in a header before this one, which then has only the end of it.
    if (!size || *size != member.size ||
        (member.name.size() < 100 && !member.name.ends_with(name.substr(0, name.find('\0')))))
      return std::nullopt;
  }
  return listing;
}

}  // namespace contrapunto

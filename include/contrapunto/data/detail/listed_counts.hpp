// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace contrapunto::detail {

/// Returns the numbers of samples of shards that open_clip's sizes.json in their folders gives: an
/// object of file names and numbers. 0 stands for a shard that is not in it. Raises if a sizes.json
/// is no such object.
[[nodiscard]] inline std::vector<std::int64_t> listed_counts(
    const std::vector<std::string>& shards) {
  namespace fs = std::filesystem;
  std::map<fs::path, nlohmann::json> folders;
  std::vector<std::int64_t> counts(shards.size(), 0);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const fs::path shard = shards[i];
    const auto [place, is_new] = folders.try_emplace(shard.parent_path());
    if (is_new) {
      const fs::path path = shard.parent_path() / "sizes.json";
      std::ifstream file(path);
      if (!file) continue;
      place->second = nlohmann::json::parse(file, nullptr, false);
      TORCH_CHECK(
          place->second.is_object(), "'", path.string(),
          "' is not a JSON object of shards and their numbers of samples; correct or remove "
          "it");
    }
    if (!place->second.is_object()) continue;
    const auto entry = place->second.find(shard.filename().string());
    if (entry == place->second.end()) continue;
    TORCH_CHECK(entry->is_number_integer() && entry->get<std::int64_t>() >= 0, "'",
                (shard.parent_path() / "sizes.json").string(), "' gives ", entry->dump(), " for ",
                shard.filename().string(), ", which is no number of samples");
    counts[i] = entry->get<std::int64_t>();
  }
  return counts;
}

}  // namespace contrapunto::detail

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/detail/in_parallel.hpp"
#include "contrapunto/data/shard_index.hpp"
#include "contrapunto/data/shard_stage.hpp"

namespace contrapunto {

struct ShardIndexOptions {
  /// Folder for the index files. If empty, SHARD.index is written beside each shard.
  std::string folder = {};
  std::int64_t threads = 16;  ///< Shards that are looked at together; they wait for the disk.
  /// Most bytes of entries that are kept in memory. Entries beyond are read from the index files.
  std::size_t memory_bytes = std::size_t{64} << 20;
  /// Called after each shard with the number of shards that are done, that were scanned because
  /// they had no valid index file, and that there are. One thread at a time calls it.
  std::function<void(std::int64_t done, std::int64_t scanned, std::int64_t shards)> on_progress =
      {};
};

/// What index_shards() returns.
struct IndexedShards {
  std::vector<ShardIndex> indexes;       ///< In the order of the shards.
  std::vector<std::string> index_paths;  ///< Their files, whether they exist or not.
  std::int64_t scanned = 0;              ///< Shards whose headers had to be read.
  std::int64_t unwritten = 0;            ///< Those among them whose index could not be written.
  std::string problem = {};              ///< Why the first one could not be written.
};

namespace detail {

/// Returns the path of the index file of a shard. In a common folder the name has a hash of the
/// shard's folder, because shards of several folders often have the same names.
[[nodiscard]] inline std::string index_path_of(const std::string& shard,
                                               const std::string& folder) {
  namespace fs = std::filesystem;
  if (is_command(shard)) return ShardStage::copy_path(shard, folder) + ".index";
  if (folder.empty()) return shard + ".index";
  char hash[17];
  std::snprintf(hash, sizeof hash, "%016llx",
                static_cast<unsigned long long>(
                    hash_of(fs::weakly_canonical(fs::absolute(shard)).parent_path().string())));
  return (fs::path(folder) / (fs::path(shard).filename().string() + "-" + hash + ".index"))
      .string();
}

/// Returns whether a file was written so recently that a further change might leave its time as it
/// is. The index of such a shard is not stored.
[[nodiscard]] inline bool changed_recently(const FileStamp& stamp) {
  using namespace std::chrono;
  const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
  return stamp.modified_ns > now - 2'000'000'000;
}

}  // namespace detail

/// Opens the index of each shard of `shards`, paths of tar files. A shard without a valid index
/// file is scanned, and its index is written. Processes that start at the same time share this
/// work: each begins with another shard, and takes over what the others have written. A killed
/// process leaves whole index files only.
///
/// A shard that is the output of a command needs `stage`, which runs it; its index is in `folder`,
/// or else in the folder of the stage, and is valid for any output.
///
/// If a file cannot be written beside its shard, for example because the data is on a read-only
/// file system, the index stays in memory, and `unwritten` counts it. Raises if `folder` is given
/// and cannot be written to, and DataError if a shard cannot be read.
[[nodiscard]] inline IndexedShards index_shards(const std::vector<std::string>& shards,
                                                const ShardIndexOptions& options = {},
                                                ShardStage* stage = nullptr) {
  TORCH_CHECK(options.threads > 0, "index_shards: threads (", options.threads,
              ") must be positive");
  if (!options.folder.empty()) std::filesystem::create_directories(options.folder);
  const auto count = static_cast<std::int64_t>(shards.size());
  IndexedShards result;
  result.index_paths.resize(shards.size());
  std::vector<std::optional<ShardIndex>> opened(shards.size());
  std::mutex mutex;
  std::int64_t done = 0;
  const std::int64_t first = count == 0 ? 0 : (std::int64_t{::getpid()} * 7919) % count;
  detail::in_parallel(count, options.threads, [&](std::int64_t number) {
    const auto i = static_cast<std::size_t>((first + number) % count);
    const bool command = is_command(shards[i]);
    TORCH_CHECK(!command || stage != nullptr, "'", shards[i],
                "' needs a folder in which the output of commands is kept; set stage-folder");
    auto& path = result.index_paths[i] = detail::index_path_of(
        shards[i], command && options.folder.empty() ? stage->folder() : options.folder);
    auto& index = opened[i] =
        command ? ShardIndex::open(std::nullopt, path) : ShardIndex::open(shards[i], path);
    const bool scan = !index;
    std::string problem;
    if (scan) {
      index = ShardIndex::scan(command ? stage->open(i)->path() : shards[i]);
      if (command || !detail::changed_recently(index->stamp())) try {
          index->write(path);
          index->unload();
        } catch (const c10::Error& error) {
          if (!options.folder.empty()) throw;
          problem = error.what_without_backtrace();
        }
    }
    const std::lock_guard lock(mutex);
    ++done;
    result.scanned += scan;
    if (!problem.empty() && result.unwritten++ == 0) result.problem = problem;
    if (options.on_progress) options.on_progress(done, result.scanned, count);
  });
  std::size_t left = options.memory_bytes;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    result.indexes.push_back(std::move(*opened[i]));
    auto& index = result.indexes.back();
    if (index.table_bytes() > left) continue;
    left -= index.table_bytes();
    index.load(result.index_paths[i]);
  }
  return result;
}

}  // namespace contrapunto

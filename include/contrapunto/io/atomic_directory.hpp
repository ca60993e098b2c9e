// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "contrapunto/io/atomic_file.hpp"

namespace contrapunto {

/// Fills a folder under a temporary name next to its final path, and puts it in place with
/// `commit`. Write files into `path()`. Until `commit` an older folder of that name is unchanged.
/// Without `commit` the destructor removes what was written. A crash leaves at most `NAME.tmp-PID`
/// behind.
class AtomicDirectory {
 public:
  /// Creates the temporary folder. Raises if the system refuses.
  explicit AtomicDirectory(const std::filesystem::path& path)
      : path_(without_trailing_slash(path)) {
    temporary_ = path_;
    temporary_ += ".tmp-" + std::to_string(::getpid());
    std::error_code error;
    std::filesystem::remove_all(temporary_, error);  // Left by a process with the same PID.
    if (!error) std::filesystem::create_directory(temporary_, error);
    TORCH_CHECK(!error, "cannot write folder '", path_.string(), "': creating '",
                temporary_.string(), "' failed: ", error.message());
  }
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  ~AtomicDirectory() {
    // After `commit` this is the replaced folder, if there was one. On failure it remains on disk
    // for a later cleanup.
    std::error_code ignored;
    std::filesystem::remove_all(temporary_, ignored);
  }

  /// The folder to write into before `commit`.
  [[nodiscard]] const std::filesystem::path& path() const { return temporary_; }

  /// Syncs everything to disk and renames the folder to its final name, replacing an older one.
  /// Call it once. Raises if the system refuses.
  void commit() {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(temporary_))
      if (entry.is_regular_file() || entry.is_directory()) detail::sync_to_disk(entry.path());
    detail::sync_to_disk(temporary_);
    put_in_place();
    detail::sync_to_disk(detail::folder_of(path_));
  }

 private:
  static std::filesystem::path without_trailing_slash(const std::filesystem::path& path) {
    return path.has_filename() ? path : path.parent_path();
  }

  void put_in_place() {
    if (::rename(temporary_.c_str(), path_.c_str()) == 0) return;
    TORCH_CHECK(errno == ENOTEMPTY || errno == EEXIST, "cannot rename '", temporary_.string(),
                "' to '", path_.string(), "': ", detail::errno_text(errno));
    // A folder with content cannot be renamed over, but it can be exchanged.
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0)
      return;
    TORCH_CHECK(errno == EINVAL || errno == ENOSYS, "cannot replace '", path_.string(), "' by '",
                temporary_.string(), "': ", detail::errno_text(errno));
    // Network file systems cannot exchange folders. A crash between the two renames leaves both
    // folders, with the older one renamed to ".old".
    auto old = path_;
    old += ".old-" + std::to_string(::getpid());
    std::filesystem::rename(path_, old);
    std::filesystem::rename(temporary_, path_);
    std::filesystem::remove_all(old);
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
};

}  // namespace contrapunto

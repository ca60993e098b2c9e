// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "contrapunto/data/detail/random_access_file.hpp"

namespace contrapunto::detail {

/// Keeps the files that were opened last open, for any number of threads.
class OpenFiles {
 public:
  /// Most files that are kept open. Two of these objects stay below the usual limit of 1,024 files
  /// per process.
  static constexpr std::size_t kMost = 256;

  /// Returns the file `path`, which stays open at least as long as the result lives. If too many
  /// files are open, the one opened first is released. Raises DataError if it cannot be opened.
  [[nodiscard]] std::shared_ptr<const RandomAccessFile> operator()(const std::string& path) {
    const std::lock_guard lock(mutex_);
    for (const auto& file : files_)
      if (file->path() == path) return file;
    auto opened = std::make_shared<const RandomAccessFile>(path);
    if (files_.size() == kMost) files_.pop_front();
    files_.push_back(opened);
    return opened;
  }

 private:
  std::mutex mutex_;
  std::deque<std::shared_ptr<const RandomAccessFile>> files_;
};

}  // namespace contrapunto::detail

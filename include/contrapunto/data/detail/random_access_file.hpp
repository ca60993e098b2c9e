// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "contrapunto/core/data_error.hpp"

namespace contrapunto::detail {

/// Shows whether a file is unchanged: a write changes the size or the time, and a replacement
/// changes the inode.
struct FileStamp {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

/// Returns the description of the last error of the system.
inline std::string last_system_error() {
  return std::system_category().message(errno);
}

inline FileStamp stamp_of(const struct stat& status) {
  return {
      static_cast<std::uint64_t>(status.st_ino), static_cast<std::uint64_t>(status.st_size),
      static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

/// Returns the stamp of the file `path`, which is not opened. Raises DataError if it cannot be
/// found or is not a regular file.
[[nodiscard]] inline FileStamp stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    throw DataError(path + ": cannot open: " + last_system_error());
  if (!S_ISREG(status.st_mode)) throw DataError(path + ": not a regular file");
  return stamp_of(status);
}

/// A file that any number of threads can read at any offset. It is not memory-mapped, so a file
/// that shrinks while it is read causes an error rather than a signal.
class RandomAccessFile {
 public:
  /// Raises DataError if `path` cannot be opened or is not a regular file.
  explicit RandomAccessFile(std::string path) : path_(std::move(path)) {
    // The type is checked before the file is opened, because opening a FIFO would wait for a
    // writer.
    static_cast<void>(stamp_of(path_));
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) throw DataError(path_ + ": cannot open: " + last_system_error());
    try {
      size_ = stamp().size;
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  ~RandomAccessFile() { ::close(descriptor_); }
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// Returns the current stamp of the open file.
  [[nodiscard]] FileStamp stamp() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0)
      throw DataError(path_ + ": cannot read its size: " + last_system_error());
    return stamp_of(status);
  }

  /// Fills `target` with the `bytes` bytes at `offset`. Raises DataError if there are fewer.
  void read(std::uint64_t offset, void* target, std::size_t bytes) const {
    auto* out = static_cast<char*>(target);
    while (bytes > 0) {
      const ssize_t got = ::pread(descriptor_, out, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        throw DataError(path_ + " at " + std::to_string(offset) +
                        ": cannot read: " + last_system_error());
      if (got == 0)
        throw DataError(path_ + " at " + std::to_string(offset) + ": the file ends, " +
                        std::to_string(bytes) + " bytes early");
      out += got;
      offset += static_cast<std::uint64_t>(got);
      bytes -= static_cast<std::size_t>(got);
    }
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace contrapunto::detail

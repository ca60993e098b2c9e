// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "contrapunto/io/atomic_file.hpp"

namespace contrapunto {

/// Locks a file for this process during its lifetime. The system releases the lock when the process
/// ends for any reason, so a killed run leaves nothing to clean up. Some network file systems do
/// not support locks; `held()` is then false and nothing is locked.
class FileLock {
 public:
  /// Locks `path`, which is created if necessary and then contains the host and the process id. If
  /// another process holds the lock, raises `busy` with the name of that process.
  FileLock(const std::filesystem::path& path, const std::string& busy) : FileLock(open(path)) {
    if (lock(path)) return;
    char text[256] = {};
    const auto size = ::read(descriptor_, text, sizeof(text) - 1);
    ::close(std::exchange(descriptor_, -1));
    TORCH_CHECK(false, busy, " (held by ",
                size > 0 ? std::string(text, static_cast<std::size_t>(size)) : "another process",
                ")");
  }

  /// Locks `path` like the constructor, but returns nothing if another process, or another object
  /// of this one, holds the lock.
  [[nodiscard]] static std::optional<FileLock> try_lock(const std::filesystem::path& path) {
    FileLock lock(open(path));
    if (!lock.lock(path)) return std::nullopt;
    return lock;
  }

  /// Whether the file is locked.
  [[nodiscard]] bool held() const { return descriptor_ >= 0; }

  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  [[nodiscard]] static int open(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    TORCH_CHECK(descriptor >= 0, "cannot open '", path.string(), "': ", detail::errno_text(errno));
    return descriptor;
  }

  /// Returns false if another process holds the lock. If the file system has no locks, returns true
  /// and closes the file.
  [[nodiscard]] bool lock(const std::filesystem::path& path) {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      if (error == EWOULDBLOCK) return false;
      ::close(std::exchange(descriptor_, -1));
      TORCH_CHECK(error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP, "cannot lock '",
                  path.string(), "': ", detail::errno_text(error));
      return true;
    }
    char host[256] = {};
    if (::gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
    const auto owner = "process " + std::to_string(::getpid()) + " on " + host;
    // The name is only informative, so a full disk must not prevent a run from starting.
    if (::ftruncate(descriptor_, 0) == 0)
      static_cast<void>(!::pwrite(descriptor_, owner.data(), owner.size(), 0));
    return true;
  }

  int descriptor_;
};

}  // namespace contrapunto

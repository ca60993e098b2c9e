// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace contrapunto {

namespace detail {

/// Returns the description of an errno value. Unlike strerror it is thread-safe.
inline std::string errno_text(int error) {
  return std::generic_category().message(error);
}

/// Returns the folder that contains `path`; "." for a bare name.
inline std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Syncs a file or folder to disk. Raises if this fails.
inline void sync_to_disk(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  TORCH_CHECK(descriptor >= 0, "cannot open '", path.string(), "' to sync it: ", errno_text(errno));
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // EINVAL: this file system has no fsync for such an object (folders on some network mounts).
  TORCH_CHECK(error == 0 || error == EINVAL, "cannot sync '", path.string(),
              "' to disk: ", errno_text(error));
}

}  // namespace detail

/// Writes a file incrementally under a temporary name next to its final path, and puts it in place
/// with `commit`. Before that, an older file of that name is unchanged. Without `commit` the
/// destructor removes the temporary file. Every error gives the path and the system's message.
class AtomicFile {
 public:
  /// Creates the temporary file. Raises if the system refuses.
  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
    static std::atomic<unsigned> count{0};
    temporary_ = path_;
    temporary_ += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    // No O_EXCL: in containers a restarted process can find leftovers of a process with the same
    // PID.
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    TORCH_CHECK(descriptor_ >= 0, "cannot write '", path_.string(), "': creating '",
                temporary_.string(), "' failed: ", detail::errno_text(errno));
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Appends `bytes`.
  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      TORCH_CHECK(written >= 0, "cannot write '", path_.string(), "': ", detail::errno_text(errno));
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  /// Syncs the bytes to disk and renames the file to its final name, replacing an older one. Call
  /// it once.
  void commit() {
    TORCH_CHECK(::fsync(descriptor_) == 0, "cannot sync '", path_.string(),
                "' to disk: ", detail::errno_text(errno));
    // Network file systems report an exceeded quota only here.
    const int closed = ::close(std::exchange(descriptor_, -1));
    TORCH_CHECK(closed == 0, "cannot write '", path_.string(), "': ", detail::errno_text(errno));
    TORCH_CHECK(::rename(temporary_.c_str(), path_.c_str()) == 0, "cannot rename '",
                temporary_.string(), "' to '", path_.string(), "': ", detail::errno_text(errno));
    committed_ = true;
    detail::sync_to_disk(detail::folder_of(path_));
  }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  bool committed_ = false;
};

/// Replaces the contents of the file `path` by `bytes`. After a crash it has either the old or the
/// new contents. The folder must exist. After an error the old file is intact and no temporary file
/// remains.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace contrapunto

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

/// What errno means, in words; unlike strerror safe to call from several threads.
inline std::string errno_text(int error) {
  return std::generic_category().message(error);
}

/// The folder that `path` lies in; "." for a bare name.
inline std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Asks the kernel to bring a file or folder to the disk; raises when the disk refuses.
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

/// Writes a file piece by piece under a temporary name beside it and puts it in place with
/// `commit`. Whatever happens before, an older file of that name stays as it was. Without `commit`
/// the destructor removes the temporary file. Every error names the path and what the system said.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
    static std::atomic<unsigned> count{0};
    temporary_ = path_;
    temporary_ += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    // No O_EXCL: in containers a restarted process meets the leftovers of one with its own number.
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

  /// Brings the bytes to the disk and gives the file its name, replacing an older one. Call once.
  void commit() {
    TORCH_CHECK(::fsync(descriptor_) == 0, "cannot sync '", path_.string(),
                "' to disk: ", detail::errno_text(errno));
    // Network file systems report a full quota only here.
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

/// Replaces the file `path` by `bytes`. After a crash it holds either the old bytes or the new
/// ones. The folder must exist. On any error the old file is intact and nothing temporary is left.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace contrapunto

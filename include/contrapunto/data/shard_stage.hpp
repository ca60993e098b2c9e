// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <c10/util/ScopeExit.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/detail/run_command.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/file_lock.hpp"

namespace contrapunto {

struct ShardStageOptions {
  /// Folder for copies of the shards, on a fast local disk. The processes of a machine share it. If
  /// empty, shards are read where they are.
  std::string folder = {};
  std::int64_t bytes = 0;    ///< Most bytes of copies; 0: no limit, and copies stay.
  std::int64_t threads = 4;  ///< Shards that are copied at the same time.
  /// Seconds without a byte from a command after which it is killed.
  double patience = 300.0;
};

/// Returns whether a shard is the output of a command, "pipe:COMMAND".
[[nodiscard]] inline bool is_command(const std::string& shard) {
  return shard.starts_with("pipe:");
}

/// Returns a file name for a shard: that of its path, or the last word of its command that contains
/// ".tar".
[[nodiscard]] inline std::string shard_name(const std::string& shard) {
  if (!is_command(shard)) return std::filesystem::path(shard).filename().string();
  const std::size_t dot = shard.rfind(".tar");
  if (dot == std::string::npos) return "command.tar";
  const std::size_t begin = shard.find_last_of("/ \t'\"=", dot) + 1;
  return shard.substr(begin, dot + 4 - begin);
}

/// Copies shards to a local folder ahead of their use. A shard is a path, or "pipe:COMMAND" for
/// what a command writes. Copies are complete: a killed copy leaves nothing that is used. If there
/// is a limit, the copies of shards whose turn is over are removed.
class ShardStage {
 public:
  /// Raises for options out of range, and if the folder cannot be made.
  ShardStage(std::vector<std::string> shards, ShardStageOptions options)
      : shards_(std::move(shards)), o_(std::move(options)), fails_(shards_.size()) {
    TORCH_CHECK(!o_.folder.empty(), "ShardStage: no folder given");
    TORCH_CHECK(o_.bytes >= 0, "ShardStage: bytes (", o_.bytes, ") must not be negative");
    TORCH_CHECK(o_.threads > 0, "ShardStage: threads (", o_.threads, ") must be positive");
    TORCH_CHECK(o_.patience > 0, "ShardStage: patience (", o_.patience, ") must be positive");
    std::filesystem::create_directories(o_.folder);
    for (const auto& shard : shards_) copies_.push_back(copy_path(shard, o_.folder));
  }
  ShardStage(const ShardStage&) = delete;
  ShardStage& operator=(const ShardStage&) = delete;
  ~ShardStage() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  [[nodiscard]] const std::string& folder() const { return o_.folder; }

  /// The path of the copy of a shard. Shards of several folders may have the same name.
  [[nodiscard]] static std::string copy_path(const std::string& shard, const std::string& folder) {
    char hash[17];
    const auto whole = is_command(shard) ? shard : std::filesystem::absolute(shard).string();
    std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(hash_of(whole)));
    return (std::filesystem::path(folder) / (std::string(hash) + "-" + shard_name(shard))).string();
  }

  /// Returns the copy of a shard, which is made now if there is none, and stays usable while the
  /// result lives. Raises DataError if the shard cannot be read.
  [[nodiscard]] std::shared_ptr<const detail::RandomAccessFile> open(std::size_t shard) {
    note_use(shard);
    for (int attempt = 0;; ++attempt) {
      try {
        return std::make_shared<const detail::RandomAccessFile>(copies_[shard]);
      } catch (const DataError&) {
        // Another process may remove the copy between copying and opening.
        if (attempt == 3) throw;
      }
      copy(shard, Turn::kNext);
    }
  }

  /// Announces the order in which the shards will be opened, of which `window` are in use at the
  /// same time. Those of the window in use and of the next one are copied ahead as far as the limit
  /// allows.
  void will_open(std::vector<std::int64_t> order, std::int64_t window) {
    {
      const std::lock_guard lock(mutex_);
      order_ = std::move(order);
      window_ = window > 0 ? window : std::ssize(order_);
      at_ = next_ = 0;
      for (std::int64_t i = std::ssize(threads_); i < o_.threads; ++i)
        threads_.emplace_back([this] { work(); });
    }
    changed_.notify_all();
  }

  /// Bytes of all copies in the folder, also of those that other processes or runs have made.
  [[nodiscard]] std::int64_t bytes_in_use() const {
    std::int64_t bytes = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(o_.folder, ignored)) {
      const auto extension = entry.path().extension();
      if (extension == ".lock" || extension == ".index") continue;
      const auto size = entry.file_size(ignored);
      if (!ignored) bytes += static_cast<std::int64_t>(size);
    }
    return bytes;
  }

 private:
  static constexpr int kAttempts = 3;

  /// Moves the window on if a shard beyond it is used.
  void note_use(std::size_t shard) {
    const std::lock_guard lock(mutex_);
    for (std::int64_t i = at_; i < std::min(at_ + 2 * window_, std::ssize(order_)); ++i) {
      if (order_[static_cast<std::size_t>(i)] != static_cast<std::int64_t>(shard)) continue;
      const std::int64_t begin = i / window_ * window_;
      if (begin > at_) {
        at_ = begin;
        next_ = std::max(next_, at_);
        changed_.notify_all();
      }
      return;
    }
    // After a resume the first shard that is used may be anywhere.
    const auto found = std::find(order_.begin(), order_.end(), static_cast<std::int64_t>(shard));
    if (found == order_.end()) return;
    at_ = next_ = (found - order_.begin()) / window_ * window_;
    changed_.notify_all();
  }

  /// Copies the shards of this window and of the next one.
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] {
        return stopping_ || next_ < std::min(at_ + 2 * window_, std::ssize(order_));
      });
      if (stopping_) return;
      const auto shard = static_cast<std::size_t>(order_[static_cast<std::size_t>(next_++)]);
      lock.unlock();
      try {
        copy(shard, Turn::kLast);
      } catch (const std::exception&) {
        // Whoever opens the shard gets the reason.
      }
      lock.lock();
    }
  }

  /// The window that a shard belongs to, in the order in which copies are removed. Slower processes
  /// may still read shards of the last window.
  enum class Turn { kNone, kLast, kNext, kNow };

  /// Makes the copy of a shard if there is none. To make room for it, copies of shards whose turn
  /// is at most `removable` are removed. Threads and processes that need the same shard wait for
  /// one of them.
  void copy(std::size_t shard, Turn removable) {
    using namespace std::chrono_literals;
    const std::string& target = copies_[shard];
    {
      const std::lock_guard lock(mutex_);
      // A shard that cannot be read costs its samples once, and not an attempt for each of them.
      if (!fails_[shard].empty()) throw DataError(fails_[shard]);
    }
    for (;;) {
      if (std::filesystem::exists(target)) return;
      if (const auto locked = FileLock::try_lock(target + ".lock")) {
        const auto unlocked = c10::make_scope_exit([&] {
          std::error_code ignored;
          std::filesystem::remove(target + ".lock", ignored);
        });
        if (!std::filesystem::exists(target)) {
          const std::int64_t bytes = make_room(shard, removable);
          const auto copied = c10::make_scope_exit([&] {
            const std::lock_guard lock(mutex_);
            reserved_ -= bytes;
          });
          copy_with_patience(shard);
        }
        return;
      }
      std::this_thread::sleep_for(20ms);
    }
  }

  void copy_with_patience(std::size_t shard) {
    for (int attempt = 1;; ++attempt) {
      try {
        return copy_once(shards_[shard], copies_[shard]);
      } catch (const DataError& error) {
        if (attempt < kAttempts) {
          std::this_thread::sleep_for(std::chrono::milliseconds(200 * attempt * attempt));
          continue;
        }
        const std::lock_guard lock(mutex_);
        fails_[shard] = "after " + std::to_string(kAttempts) + " attempts: " + error.what();
        throw DataError(fails_[shard]);
      }
    }
  }

  void copy_once(const std::string& shard, const std::string& target) const {
    AtomicFile file(target);
    if (is_command(shard)) {
      std::uint64_t bytes = 0;
      detail::run_command(
          shard.substr(5), o_.patience,
          [&](std::string_view part) {
            bytes += part.size();
            file.write(part);
          },
          [&] { return stopping_.load(); });
      if (bytes == 0) throw DataError("the command '" + shard.substr(5) + "' has written nothing");
      file.commit();
      return;
    }
    const detail::RandomAccessFile source(shard);
    const auto before = source.stamp();
    std::string buffer(std::size_t{4} << 20, '\0');
    for (std::uint64_t at = 0; at < source.size();) {
      const auto part =
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), source.size() - at));
      source.read(at, buffer.data(), part);
      file.write(std::string_view(buffer).substr(0, part));
      at += part;
    }
    if (source.stamp() != before) throw DataError(shard + ": was written to while it was copied");
    file.commit();
  }

  /// Removes copies whose turn is over until `shard` fits within the limit, and reserves its bytes,
  /// which are returned. The space of a copy that is still open is free only when it is closed.
  [[nodiscard]] std::int64_t make_room(std::size_t shard, Turn removable) {
    if (o_.bytes == 0) return 0;
    // The size of a command's output is not known; the largest copy so far stands for it.
    std::error_code error;
    std::int64_t needed =
        is_command(shards_[shard])
            ? 0
            : static_cast<std::int64_t>(std::filesystem::file_size(shards_[shard], error));
    const std::lock_guard lock(mutex_);
    std::int64_t used = reserved_;
    std::vector<std::tuple<Turn, std::size_t, std::int64_t>> others;
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      const auto size = static_cast<std::int64_t>(std::filesystem::file_size(copies_[i], error));
      if (error) continue;
      used += size;
      if (is_command(shards_[shard])) needed = std::max(needed, size);
      const Turn turn = turn_of(i);
      if (i != shard && turn <= removable) others.emplace_back(turn, i, size);
    }
    std::sort(others.begin(), others.end());
    for (const auto& [turn, other, size] : others) {
      if (used + needed <= o_.bytes) break;
      std::filesystem::remove(copies_[other], error);
      used -= size;
    }
    TORCH_CHECK(used + needed <= o_.bytes, "ShardStage: the shards of a window need more than ",
                o_.bytes, " bytes in '", o_.folder, "': ", used, " are in use and '",
                shard_name(shards_[shard]), "' needs ", needed,
                "; raise the limit, or lower the number of shards that are shuffled together");
    reserved_ += needed;
    return needed;
  }

  /// Returns whose turn it is. Call it with the lock held.
  [[nodiscard]] Turn turn_of(std::size_t shard) const {
    const auto has = [&](std::int64_t begin) {
      const auto at = [&](std::int64_t i) {
        return order_.begin() + std::clamp<std::int64_t>(i, 0, std::ssize(order_));
      };
      const auto end = at(begin + window_);
      return std::find(at(begin), end, static_cast<std::int64_t>(shard)) != end;
    };
    return has(at_)             ? Turn::kNow
           : has(at_ + window_) ? Turn::kNext
           : has(at_ - window_) ? Turn::kLast
                                : Turn::kNone;
  }

  std::vector<std::string> shards_;
  ShardStageOptions o_;
  std::vector<std::string> copies_;

  std::mutex mutex_;  // Guards the following members.
  std::condition_variable changed_;
  std::vector<std::int64_t> order_;
  std::int64_t window_ = 1;
  std::int64_t at_ = 0;             // Where the window in use begins.
  std::int64_t next_ = 0;           // The next entry of order_ to copy ahead.
  std::int64_t reserved_ = 0;       // Bytes of the copies that are being made.
  std::vector<std::string> fails_;  // Why a shard cannot be copied; empty: it was not tried or can.
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_DISTRIBUTED
#error \
    "Contrapunto: RankWatchdog needs the component `distributed`: use \
find_package(Contrapunto COMPONENTS distributed) and link contrapunto::distributed"
#endif

#include <c10/util/Exception.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/distributed/rank_watchdog_options.hpp"

namespace contrapunto {

namespace detail {

enum class RankState : char {
  kUnseen,    // Has not written anything yet.
  kRunning,   // Has written and not ended.
  kFinished,  // Has called sign_off().
  kEnded,     // Ended without sign_off().
};

/// The state that a rank writes about itself, and when this rank last saw it change.
struct WatchedRank {
  using Clock = std::chrono::steady_clock;

  RankState state = RankState::kUnseen;
  std::int64_t beats = 0;
  std::int64_t calls = 0;  // Number of calls of progress().
  std::int64_t step = -1;
  std::int64_t process = 0;
  std::string host = "?";
  Clock::time_point heard;  // When `beats` last changed.
  Clock::time_point moved;  // When `calls` last changed.
  Clock::time_point level;  // When no other rank was last ahead of it.

  [[nodiscard]] std::string text() const {
    std::ostringstream out;
    out << static_cast<int>(state) << ' ' << beats << ' ' << calls << ' ' << step << ' ' << process
        << ' ' << host;
    return out.str();
  }

  void update(const std::string& written, Clock::time_point now) {
    const auto before = *this;
    std::istringstream in(written);
    int number = 0;
    in >> number >> beats >> calls >> step >> process >> host;
    state = static_cast<RankState>(number);
    const bool is_new = before.state == RankState::kUnseen;
    if (is_new || beats != before.beats) heard = now;
    if (is_new || calls != before.calls) moved = now;
  }

  [[nodiscard]] std::string name(std::size_t rank) const {
    return "rank " + std::to_string(rank) + " (host " + host + ", pid " + std::to_string(process) +
           ")";
  }
  [[nodiscard]] std::string last_step() const {
    return step < 0 ? "it had not begun its first step"
                    : "its last step was " + std::to_string(step);
  }
};

inline std::string seconds_text(std::chrono::steady_clock::duration duration) {
  std::ostringstream out;
  out.precision(1);
  out << std::fixed << std::chrono::duration<double>(duration).count() << " s";
  return out.str();
}

/// The part of a watchdog that its threads share. A thread that waits for a store that no longer
/// answers cannot be joined, so the threads own this part too.
class RankWatch {
 public:
  using Clock = WatchedRank::Clock;

  RankWatch(c10::intrusive_ptr<c10d::Store> store, std::int64_t rank, std::int64_t size,
            std::function<void(const std::string&)> on_failure, RankWatchdogOptions options)
      : store_(std::move(store)),
        rank_(static_cast<std::size_t>(rank)),
        ranks_(static_cast<std::size_t>(size)),
        on_failure_(std::move(on_failure)),
        o_(options) {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    ours_.host = host[0] == '\0' ? "?" : host.data();
    ours_.process = ::getpid();
    ours_.state = RankState::kRunning;
    answered_ = Clock::now();
    for (auto& watched : ranks_) watched.heard = watched.moved = watched.level = answered_;
  }

  void progress(std::int64_t step) {
    const std::scoped_lock lock(mutex_);
    ours_.step = step;
    ++ours_.calls;
  }

  /// Writes `state` as the last state of this rank that the others read. Returns when it is
  /// written, at the latest after `patience`.
  void end(RankState state, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (ours_.state == RankState::kRunning) ours_.state = state;
    ending_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, patience, [&] { return exchange_over_; });
    stopping_ = true;
    changed_.notify_all();
  }

  [[nodiscard]] std::optional<std::string> wait_for_failure(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [&] { return failure_.has_value(); }))
      return std::nullopt;
    changed_.wait(lock, [&] { return reported_; });
    return failure_;
  }

  [[nodiscard]] bool exchange_over() {
    const std::scoped_lock lock(mutex_);
    return exchange_over_;
  }

  /// The first thread exchanges heartbeats through the store.
  void exchange() {
    try {
      while (round()) {
      }
    } catch (const std::exception& error) {
      store_lost(error_text(error));
    }
    const std::scoped_lock lock(mutex_);
    exchange_over_ = true;
    changed_.notify_all();
  }

  /// The second thread detects when the first one hangs.
  void watch() {
    auto last = Clock::now();
    auto trusted_from = last;
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, o_.interval, [&] { return stopping_ || exchange_over_; })) {
      const auto now = Clock::now();
      // This process itself was stopped, so the first thread gets its full time again.
      if (now - last > o_.interval + o_.timeout / 2) trusted_from = now;
      last = now;
      const auto silent = now - std::max(answered_, trusted_from);
      if (silent <= o_.timeout || ending_) continue;
      const auto text = store_text("it has not answered for " + seconds_text(silent));
      lock.unlock();
      fail(text);
      return;
    }
  }

 private:
  static std::string key(std::size_t rank) { return "rank/" + std::to_string(rank); }

  // Writes this rank's heartbeat and reads those of the others. Returns false if it was the last
  // round.
  bool round() {
    std::string text;
    bool last = false;
    {
      const std::scoped_lock lock(mutex_);
      ++ours_.beats;
      text = ours_.text();
      last = ending_ || stopping_;
    }
    store_->set(key(rank_), text);
    read_others();
    if (store_->check({"verdict"})) {
      verdict_ = store_->get_to_str("verdict");
    } else if (const auto found = find_failure(); found && !last) {
      verdict_ = store_->compareSet("verdict", "", *found);  // All ranks report the same text.
    }
    const auto now = Clock::now();
    std::unique_lock lock(mutex_);
    answered_ = now;
    if (last && (rank_ != 0 || others_are_gone() || verdict_)) return false;
    if (verdict_ && !last) {
      if (!verdict_since_) verdict_since_ = now;
      // Rank 0 may host the store, so it stays until the others have read the verdict.
      if (rank_ != 0 || now - *verdict_since_ >= 3 * o_.interval || others_are_gone()) {
        lock.unlock();
        fail(*verdict_);
        return false;
      }
    }
    changed_.wait_for(lock, o_.interval, [&] { return stopping_ || (ending_ && !last); });
    return !stopping_ || !last;
  }

  void read_others() {
    const auto begin = Clock::now();
    std::vector<std::string> keys;
    std::vector<std::size_t> seen;
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      if (ranks_[r].state == RankState::kUnseen && !store_->check({key(r)})) continue;
      keys.push_back(key(r));
      seen.push_back(r);
    }
    const auto values = store_->multiGet(keys);
    const auto now = Clock::now();
    const std::scoped_lock lock(mutex_);
    // After a pause of this process or of the store, missing heartbeats say nothing about the other
    // ranks.
    const bool paused = read_ != Clock::time_point{} && now - read_ > o_.interval + o_.timeout / 2;
    if (paused || now - begin > o_.timeout / 2)
      for (auto& watched : ranks_) watched.heard = now;
    read_ = now;
    for (std::size_t i = 0; i < seen.size(); ++i)
      ranks_[seen[i]].update(std::string(values[i].begin(), values[i].end()), now);
    for (auto& watched : ranks_)
      if (watched.step == furthest_step()) watched.level = now;
  }

  [[nodiscard]] bool others_are_gone() const {
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      if (r != rank_ &&
          (ranks_[r].state == RankState::kRunning || ranks_[r].state == RankState::kUnseen))
        return false;
    return true;
  }

  [[nodiscard]] std::int64_t furthest_step() const {
    std::int64_t furthest = -1;
    for (const auto& watched : ranks_) furthest = std::max(furthest, watched.step);
    return furthest;
  }

  [[nodiscard]] std::optional<std::string> find_failure() {
    static constexpr const char* kRemedy =
        " The other ranks cannot continue without it: stop them, fix the cause and restart all "
        "ranks from the last checkpoint.";
    const auto now = Clock::now();
    const std::scoped_lock lock(mutex_);
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      const auto& watched = ranks_[r];
      if (watched.state == RankState::kEnded) {
        // All ranks may have raised the same error, and each gets the time to report it.
        if (now - watched.heard <= o_.interval) continue;
        return watched.name(r) + " ended " + seconds_text(now - watched.heard) +
               " ago before the run was over; " + watched.last_step() +
               ". It raised an error: see the end of its output." + kRemedy;
      }
      if (r == rank_ || watched.state == RankState::kFinished || now - watched.heard <= o_.timeout)
        continue;
      if (watched.state == RankState::kUnseen)
        return "rank " + std::to_string(r) + " has not been heard from within " +
               seconds_text(now - watched.heard) +
               " of this rank's start. It died while starting, or creates its watchdog much later: "
               "see the end of its output." +
               kRemedy;
      return watched.name(r) + " has been silent for " + seconds_text(now - watched.heard) + "; " +
             watched.last_step() +
             ". It was killed (out of memory? see dmesg there), is stopped, or its machine or "
             "network is gone." +
             kRemedy;
    }
    return find_stalled(now);
  }

  [[nodiscard]] std::optional<std::string> find_stalled(Clock::time_point now) const {
    if (o_.stall_timeout.count() == 0) return std::nullopt;
    std::optional<std::size_t> slowest;
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      if (ranks_[r].state == RankState::kRunning &&
          (!slowest || ranks_[r].step < ranks_[*slowest].step))
        slowest = r;
    // Ranks ahead of the slowest one wait for it, so only the slowest one is stuck.
    if (!slowest ||
        now - std::max(ranks_[*slowest].moved, ranks_[*slowest].level) <= o_.stall_timeout)
      return std::nullopt;
    const auto& stuck = ranks_[*slowest];
    return stuck.name(*slowest) + " is alive but has made no progress for " +
           seconds_text(now - stuck.moved) + "; " + stuck.last_step() + ", others are at step " +
           std::to_string(furthest_step()) +
           ". It may be waiting for a disk, a lock or a GPU: see where it waits with `gdb -p " +
           std::to_string(stuck.process) +
           "`. Then end all ranks and start them again from the last checkpoint.";
  }

  // Call with mutex_ held.
  [[nodiscard]] std::string store_text(const std::string& what) const {
    const auto now = Clock::now();
    const auto& host = ranks_.front();
    auto text = "the store of the run is lost: " + what + ". It is hosted by " +
                (host.state == RankState::kUnseen ? "rank 0" : host.name(0)) +
                " or by the launcher; rank 0 was last heard from " +
                seconds_text(now - host.heard) + " ago, " + host.last_step() + ".";
    // Rank 0 may have ended because another rank did.
    for (std::size_t r = 1; r < ranks_.size(); ++r)
      if (r != rank_ && ranks_[r].state == RankState::kRunning &&
          read_ - ranks_[r].heard > 4 * o_.interval)
        text += " Before that, " + ranks_[r].name(r) + " had been silent for " +
                seconds_text(read_ - ranks_[r].heard) + "; " + ranks_[r].last_step() + ".";
    return text +
           " Rank 0 ended, was killed (out of memory? see dmesg there) or is stopped, or its "
           "machine or network is gone: end all ranks and start them again from the last "
           "checkpoint.";
  }

  void store_lost(const std::string& error) {
    std::string text;
    {
      const std::scoped_lock lock(mutex_);
      // The store ends with the last rank that signs off.
      if (ending_ || ranks_.front().state == RankState::kFinished) return;
      text = verdict_ ? *verdict_ : store_text(error.substr(0, error.find('\n')));
    }
    fail(text);
  }

  void fail(const std::string& text) {
    {
      const std::scoped_lock lock(mutex_);
      if (failure_) return;
      failure_ = text;
      changed_.notify_all();
    }
    on_failure_(text);
    const std::scoped_lock lock(mutex_);
    reported_ = true;
    changed_.notify_all();
  }

  c10::intrusive_ptr<c10d::Store> store_;
  std::size_t rank_;
  std::vector<WatchedRank> ranks_;
  std::function<void(const std::string&)> on_failure_;
  RankWatchdogOptions o_;
  // Used by the first thread only.
  std::optional<std::string> verdict_;
  std::optional<Clock::time_point> verdict_since_;

  std::mutex mutex_;  // Guards the following members and ranks_.
  std::condition_variable changed_;
  WatchedRank ours_;
  Clock::time_point answered_;  // When the store last completed all requests.
  Clock::time_point read_{};    // When the others' heartbeats were last read.
  std::optional<std::string> failure_;
  bool reported_ = false;  // Whether on_failure_ has returned.
  bool ending_ = false;
  bool stopping_ = false;
  bool exchange_over_ = false;
};

}  // namespace detail

/// Tells a rank why the other ranks do not answer. Every rank writes a heartbeat with its step into
/// the store of the run and reads those of the others. A separate thread does this, so it continues
/// while the program waits in a collective. join_ranks() creates a watchdog. Without join_ranks(),
/// create one right after connecting, on all ranks with the same options:
///
///   RankWatchdog watchdog(store, rank, size, [](const std::string& why) {
///     std::fprintf(stderr, "%s\n", why.c_str());
///     std::_Exit(1);  // There is no other way to leave a collective that never returns.
///   });
///   for (...) { watchdog.progress(step); ... }
///   watchdog.sign_off();
///
/// A collective that raises because another rank died does not know which rank that is. Its handler
/// should call wait_for_failure() before it ends the program. With one rank the watchdog does
/// nothing.
class RankWatchdog {
 public:
  /// Opens its own connection to `store`, which may be in use and must outlive this object.
  /// `on_failure` is called at most once, from a thread of this object, with a paragraph that names
  /// the rank, its host and process, its last step, how long ago that was and what to do. It must
  /// not raise or destroy this object. All ranks that can still reach the store report the same
  /// text. Raises for a rank out of range, an empty `on_failure` and inconsistent timeouts.
  RankWatchdog(const c10::intrusive_ptr<c10d::Store>& store, std::int64_t rank, std::int64_t size,
               std::function<void(const std::string&)> on_failure, RankWatchdogOptions options = {})
      : o_(options) {
    TORCH_CHECK(rank >= 0 && rank < size, "RankWatchdog: rank ", rank, " of ", size,
                " ranks; ranks count from 0");
    TORCH_CHECK(on_failure != nullptr, "RankWatchdog: on_failure is empty");
    TORCH_CHECK(o_.interval.count() > 0 && o_.timeout >= 3 * o_.interval,
                "RankWatchdog: timeout is ", o_.timeout.count(),
                " ms, expected at least 3 intervals of ", o_.interval.count(),
                " ms, which must be above 0");
    TORCH_CHECK(o_.stall_timeout.count() >= 0, "RankWatchdog: stall_timeout is ",
                o_.stall_timeout.count(), " ms, expected at least 0");
    if (size == 1) return;
    // A store answers one request at a time, and a request that waits for a key blocks the others.
    watch_ = std::make_shared<detail::RankWatch>(
        c10::make_intrusive<c10d::PrefixStore>("watchdog", store->clone()), rank, size,
        std::move(on_failure), o_);
    // Signals are left to the program's own threads.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    exchange_thread_ = std::thread([watch = watch_] { watch->exchange(); });
    watch_thread_ = std::thread([watch = watch_] { watch->watch(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  RankWatchdog(const RankWatchdog&) = delete;
  RankWatchdog& operator=(const RankWatchdog&) = delete;

  /// Tells the other ranks that this rank ended early, unless sign_off() was called before.
  ~RankWatchdog() {
    if (!watch_) return;
    watch_->end(detail::RankState::kEnded, std::chrono::seconds(2) + 2 * o_.interval);
    watch_thread_.join();
    if (watch_->exchange_over())
      exchange_thread_.join();
    else
      exchange_thread_.detach();  // It waits for a store that does not answer.
  }

  /// Reports that this rank is at optimizer step `step`. Call it when the data of the step has
  /// arrived and before its first collective, so that a rank that waits for data is seen to be
  /// behind the others. Any call counts as progress, even with the same step, so call it during a
  /// long evaluation too.
  void progress(std::int64_t step) {
    if (watch_) watch_->progress(step);
  }

  /// Reports that this rank has finished, so that the others do not treat it as dead. Nothing is
  /// reported from now on. Rank 0, which may host the store, waits for the others to finish, for at
  /// most `timeout`.
  void sign_off() {
    if (watch_) watch_->end(detail::RankState::kFinished, o_.timeout);
  }

  /// Waits until a failure is found and on_failure has returned, and returns its text. Returns
  /// nothing if no failure is found within `patience`, by default the time it takes to detect a
  /// dead rank. Do not call it from on_failure.
  [[nodiscard]] std::optional<std::string> wait_for_failure(
      std::optional<std::chrono::milliseconds> patience = std::nullopt) {
    if (!watch_) return std::nullopt;
    return watch_->wait_for_failure(patience.value_or(o_.timeout + 6 * o_.interval));
  }

 private:
  RankWatchdogOptions o_;
  std::shared_ptr<detail::RankWatch> watch_;
  std::thread exchange_thread_;
  std::thread watch_thread_;
};

/// Returns whether `error` came from a collective because another rank is gone, rather than from a
/// check on this rank. If so, `RankWatchdog::wait_for_failure` tells which rank that is.
[[nodiscard]] inline bool is_rank_failure(const std::exception& error) {
  if (dynamic_cast<const c10::DistError*>(&error) != nullptr) return true;
  // Gloo's errors derive from std::runtime_error, as many others do, and LibTorch does not install
  // Gloo's headers. However, their messages begin with a Gloo source file:
  // "[/.../gloo/transport/...:81] ".
  const std::string_view text = error.what();
  return dynamic_cast<const std::runtime_error*>(&error) != nullptr && text.starts_with('[') &&
         text.substr(0, text.find(']')).find("gloo") != std::string_view::npos;
}

}  // namespace contrapunto

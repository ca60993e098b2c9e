// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/detail/reading_clock.hpp"
#include "contrapunto/data/detail/sample_order.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/sample_source.hpp"

namespace contrapunto::detail {

/// Reads the groups of an order ahead of their use, each in long pieces, with threads of its own. A
/// group is removed from memory when all its positions have been released.
class GroupReader {
 public:
  /// Holds at most `groups` groups; at least one more than can be in use at the same time.
  GroupReader(std::shared_ptr<const SampleSource> source, std::size_t groups, std::int64_t threads,
              ReadingClock& clock)
      : source_(std::move(source)), most_groups_(groups), clock_(clock) {
    for (std::int64_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  GroupReader(const GroupReader&) = delete;
  GroupReader& operator=(const GroupReader&) = delete;
  ~GroupReader() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  /// Begins to read for the positions `first`, first + stride, ... below `end`. All positions of a
  /// group from its first one here on must be among these, until `end`. Nobody may be in take().
  void start(const SampleOrder& order, std::int64_t first, std::int64_t stride, std::int64_t end) {
    std::unique_lock lock(mutex_);
    cursor_ = end_;  // Keeps the threads from starting another group.
    queue_.clear();
    changed_.wait(lock, [&] { return reading_ == 0; });
    groups_.clear();
    order_ = &order;
    cursor_ = first;
    stride_ = stride;
    end_ = end;
    schedule();
  }

  /// Returns the sample at `position`, after waiting for its group. Raises DataError if the sample
  /// cannot be used, and whatever else reading raised.
  [[nodiscard]] EncodedSample take(std::int64_t position) {
    std::unique_lock lock(mutex_);
    const auto place = order_->locate(position);
    changed_.wait(lock, [&] {
      const auto found = groups_.find(place.group);
      return found != groups_.end() && found->second.is_read;
    });
    Group& group = groups_.at(place.group);
    if (group.failure) std::rethrow_exception(group.failure);
    ReadSample& read = group.samples[static_cast<std::size_t>(place.at - group.first)];
    if (!read.problem.empty()) throw DataError(read.problem);
    return std::move(read.sample);
  }

  /// Ends the use of `position`, whether its sample was taken or not. Call it once for each.
  void release(std::int64_t position) {
    std::unique_lock lock(mutex_);
    const auto place = order_->locate(position);
    changed_.wait(lock, [&] { return groups_.count(place.group) > 0; });
    const auto found = groups_.find(place.group);
    if (--found->second.left > 0) return;
    groups_.erase(found);
    schedule();
  }

 private:
  struct Group {
    std::int64_t first = 0;  // The first position in the group that is used.
    std::int64_t left = 0;   // Positions that are not released.
    bool is_read = false;
    std::vector<ReadSample> samples = {};
    std::exception_ptr failure = {};
  };
  struct Job {
    SampleOrder::Group group;
    std::vector<std::pair<std::int64_t, std::size_t>> samples;  // Index, place in Group::samples.
  };

  /// Hands out the next groups while there is room. Call it with the lock held.
  void schedule() {
    for (; cursor_ < end_; cursor_ += stride_) {
      const auto place = order_->locate(cursor_);
      if (groups_.count(place.group) > 0) continue;
      if (groups_.size() >= most_groups_) break;
      Group group{.first = place.at, .left = place.group_size - place.at};
      Job job{place.group, {}};
      for (auto at = place; at.at < place.group_size; ++at.at)
        job.samples.emplace_back(order_->visit(at).index,
                                 static_cast<std::size_t>(at.at - place.at));
      groups_.emplace(place.group, std::move(group));
      queue_.push_back(std::move(job));
    }
    changed_.notify_all();
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      Job job = std::move(queue_.front());
      queue_.pop_front();
      ++reading_;
      lock.unlock();
      std::vector<ReadSample> samples(job.samples.size());
      std::exception_ptr failure;
      try {
        read(job, samples);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      --reading_;
      const auto found = groups_.find(job.group);
      if (found != groups_.end()) {
        found->second.samples = std::move(samples);
        found->second.failure = failure;
        found->second.is_read = true;
      }
      changed_.notify_all();
    }
  }

  /// Reads runs of consecutive samples at once.
  void read(Job& job, std::vector<ReadSample>& samples) const {
    std::sort(job.samples.begin(), job.samples.end());
    for (std::size_t begin = 0; begin < job.samples.size();) {
      std::size_t end = begin + 1;
      while (end < job.samples.size() && job.samples[end].first == job.samples[end - 1].first + 1)
        ++end;
      const std::int64_t first = job.samples[begin].first;
      const auto timed = clock_.reading(first);
      auto run = source_->read_range(first, first + static_cast<std::int64_t>(end - begin));
      for (std::size_t i = 0; i < run.size(); ++i)
        samples[job.samples[begin + i].second] = std::move(run[i]);
      begin = end;
    }
  }

  std::shared_ptr<const SampleSource> source_;
  std::size_t most_groups_;
  ReadingClock& clock_;

  std::mutex mutex_;  // Guards the following members.
  std::condition_variable changed_;
  const SampleOrder* order_ = nullptr;
  std::int64_t cursor_ = 0, stride_ = 1, end_ = 0;  // Positions whose groups come next.
  std::map<SampleOrder::Group, Group> groups_;
  std::deque<Job> queue_;
  std::int64_t reading_ = 0;
  bool stopping_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace contrapunto::detail

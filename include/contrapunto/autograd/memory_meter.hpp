// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace contrapunto {

namespace detail {

/// What LibTorch's allocators report their blocks to; the engine shares it with its threads.
class MemoryCount : public c10::MemoryReportingInfoBase {
 public:
  explicit MemoryCount(MemoryCount* outer) : outer_(outer) {}

  void reportMemoryUsage(void* block, std::int64_t bytes, std::size_t allocated,
                         std::size_t reserved, c10::Device device) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      auto& kind = kinds_.at(static_cast<std::size_t>(device.type()));
      if (bytes > 0) {
        kind.blocks[block] = bytes;
        kind.current += bytes;
        kind.peak = std::max(kind.peak, kind.current);
      } else if (const auto found = kind.blocks.find(block); found != kind.blocks.end()) {
        // LibTorch may report sizes of blocks that it saw long before; ours are those of `blocks`.
        kind.current -= found->second;
        kind.blocks.erase(found);
      }
    }
    if (outer_ != nullptr) outer_->reportMemoryUsage(block, bytes, allocated, reserved, device);
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }

  [[nodiscard]] std::int64_t current(c10::DeviceType type) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kinds_.at(static_cast<std::size_t>(type)).current;
  }
  [[nodiscard]] std::int64_t peak(c10::DeviceType type) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kinds_.at(static_cast<std::size_t>(type)).peak;
  }
  void reset_peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& kind : kinds_) kind.peak = kind.current;
  }

 private:
  struct Kind {
    std::unordered_map<void*, std::int64_t> blocks;
    std::int64_t current = 0;
    std::int64_t peak = 0;
  };

  MemoryCount* outer_;
  mutable std::mutex mutex_;
  std::array<Kind, static_cast<std::size_t>(c10::COMPILE_TIME_MAX_DEVICE_TYPES)> kinds_;
};

}  // namespace detail

/// Counts the tensor memory that this thread, and backward passes that it starts, allocate while
/// the meter lives: what is held of it now and what was held at most. Blocks from before the meter
/// are not counted, nor is giving them back. A block that another thread gives back stays counted.
///
/// On CUDA these are blocks of the caching allocator, rounded up to 512 bytes, on the CPU exact
/// sizes. Meters nest; the outer one counts on. End each on the thread that began it, the latest
/// first. Raises while LibTorch's profiler runs on this thread; do not start that under a meter.
///
/// While a meter lives LibTorch warns on stderr of the first CPU block from before it that is
/// freed, and of every thousandth after that ("Memory block of unknown size was allocated before
/// the profiling started"); the counts do not suffer.
class MemoryMeter {
 public:
  MemoryMeter() : count_(std::make_shared<detail::MemoryCount>(running())) {}
  MemoryMeter(const MemoryMeter&) = delete;
  MemoryMeter& operator=(const MemoryMeter&) = delete;

  /// Bytes allocated under this meter and not yet given back. Any thread may ask.
  [[nodiscard]] std::int64_t current_bytes(c10::DeviceType type = c10::DeviceType::CPU) const {
    return count_->current(type);
  }

  /// The largest `current_bytes` since the start or the last `reset_peak`.
  [[nodiscard]] std::int64_t peak_bytes(c10::DeviceType type = c10::DeviceType::CPU) const {
    return count_->peak(type);
  }

  /// Lets every peak start again from what is held now.
  void reset_peak() { count_->reset_peak(); }

 private:
  /// The meter that already counts on this thread, or null.
  static detail::MemoryCount* running() {
    auto* info = c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE);
    auto* count = dynamic_cast<detail::MemoryCount*>(info);
    TORCH_CHECK(info == nullptr || count != nullptr,
                "MemoryMeter: LibTorch's profiler runs on this thread and takes the same reports; "
                "stop it first, or let it profile memory");
    return count;
  }

  std::shared_ptr<detail::MemoryCount> count_;
  c10::DebugInfoGuard guard_{c10::DebugInfoKind::PROFILER_STATE, count_};
};

}  // namespace contrapunto

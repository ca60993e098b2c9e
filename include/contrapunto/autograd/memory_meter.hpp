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

/// Receives reports of LibTorch's allocators. The autograd engine shares it with its threads.
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
        // LibTorch may report the sizes of much older blocks; only those in `blocks` are counted.
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

/// Measures the tensor memory that this thread, and backward passes that it starts, allocate during
/// the lifetime of the meter: the current amount and the peak. Blocks that were allocated before
/// the meter are not counted, and neither is freeing them. A block that another thread frees
/// remains counted.
///
/// On CUDA these are blocks of the caching allocator, rounded up to 512 bytes. On the CPU they are
/// exact sizes. Meters may be nested; the outer one keeps counting. End each meter on the thread
/// that created it, the latest first. Raises while LibTorch's profiler runs on this thread. Do not
/// start the profiler while a meter exists.
///
/// While a meter exists, LibTorch prints a warning to stderr for the first CPU block from before
/// the meter that is freed, and for every thousandth after that ("Memory block of unknown size was
/// allocated before the profiling started"). The counts are not affected.
class MemoryMeter {
 public:
  MemoryMeter() : count_(std::make_shared<detail::MemoryCount>(running())) {}
  MemoryMeter(const MemoryMeter&) = delete;
  MemoryMeter& operator=(const MemoryMeter&) = delete;

  /// Bytes that were allocated under this meter and are not freed yet. Any thread may call it.
  [[nodiscard]] std::int64_t current_bytes(c10::DeviceType type = c10::DeviceType::CPU) const {
    return count_->current(type);
  }

  /// The largest `current_bytes` since the start or the last `reset_peak`.
  [[nodiscard]] std::int64_t peak_bytes(c10::DeviceType type = c10::DeviceType::CPU) const {
    return count_->peak(type);
  }

  /// Restarts every peak from the current amount.
  void reset_peak() { count_->reset_peak(); }

 private:
  /// Returns the meter that already counts on this thread, or null.
  static detail::MemoryCount* running() {
    auto* info = c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE);
    auto* count = dynamic_cast<detail::MemoryCount*>(info);
    TORCH_CHECK(
        info == nullptr || count != nullptr,
        "MemoryMeter: LibTorch's profiler runs on this thread and receives the same reports; "
        "stop it first, or let the profiler measure the memory");
    return count;
  }

  std::shared_ptr<detail::MemoryCount> count_;
  c10::DebugInfoGuard guard_{c10::DebugInfoKind::PROFILER_STATE, count_};
};

}  // namespace contrapunto

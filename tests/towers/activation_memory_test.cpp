// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/activation_memory.hpp"

#include <c10/core/CPUAllocator.h>

#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "contrapunto/towers/make_dual_encoder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

/// Counts what tensors hold. LibTorch's kernels want blocks whose context is their address, so the
/// sizes are kept aside.
class CountingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* block = bytes == 0 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    const std::lock_guard lock(mutex_);
    if (block != nullptr) sizes_[block] = bytes;
    live_bytes_ += static_cast<std::int64_t>(bytes);
    return {block, block, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  static std::int64_t live_bytes() {
    const std::lock_guard lock(mutex_);
    return live_bytes_;
  }

 private:
  static void release(void* block) {
    if (block == nullptr) return;
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(block);
    live_bytes_ -= static_cast<std::int64_t>(found->second);
    sizes_.erase(found);
    std::free(block);
  }

  static inline std::mutex mutex_;
  static inline std::unordered_map<void*, std::size_t> sizes_;
  static inline std::int64_t live_bytes_ = 0;
};

/// Bytes alive after the forward of `batch` pairs that were not alive before.
double measured_bytes(const ModelConfig& config, std::int64_t batch) {
  DualEncoder model = make_dual_encoder(config);
  model->train();
  const auto size = config.image_size();
  const auto images = torch::randn({batch, 3, size, size});
  auto tokens = torch::randint(1, 400, {batch, config.text.context_length});
  tokens.select(1, config.text.context_length - 1).fill_(config.text.vocab_size - 1);

  static CountingAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/100);
  const auto before = CountingAllocator::live_bytes();
  const Embeddings e = model(images, tokens);
  const auto kept = CountingAllocator::live_bytes() - before;
  c10::SetCPUAllocator(c10::GetDefaultCPUAllocator(), /*priority=*/100);
  return static_cast<double>(kept) / static_cast<double>(batch);
}

}  // namespace

TEST_CASE("Estimated activations are within a fifth of the allocator's count", "[towers][cpu]") {
  auto config = model_config(GENERATE("ViT-S-32", "RN50"));
  config.text.vocab_size = 500;
  config.text.context_length = 24;
  const double measured = measured_bytes(config, 4);
  const double estimated = activation_bytes(config, 4.0);
  INFO(config.name << ": measured " << measured << " bytes a pair, estimated " << estimated);
  REQUIRE(estimated == Approx(measured).epsilon(0.2));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/autograd/memory_meter.hpp"

#include <optional>
#include <thread>

#include "support/catch.hpp"

using namespace contrapunto;

namespace {

constexpr std::int64_t kMegabyte = 1'000'000;

at::Tensor megabytes(std::int64_t count, at::Device device = at::kCPU) {
  return torch::empty({count * kMegabyte}, torch::dtype(torch::kUInt8).device(device));
}

/// y = 2 x whose backward allocates and drops `kScratch` bytes.
struct Hungry : torch::autograd::Function<Hungry> {
  static constexpr std::int64_t kScratch = 7 * kMegabyte;
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) {
    return x * 2;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list gradients) {
    const auto scratch = torch::empty({kScratch}, gradients[0].options().dtype(torch::kUInt8));
    return {gradients[0] * 2};
  }
};

}  // namespace

TEST_CASE("A memory meter counts what is held and what was held at most", "[core][cpu]") {
  const MemoryMeter meter;
  CHECK(meter.current_bytes() == 0);
  std::optional<at::Tensor> a = megabytes(3);
  CHECK(meter.current_bytes() == 3 * kMegabyte);
  auto b = megabytes(2);
  a.reset();
  CHECK(meter.current_bytes() == 2 * kMegabyte);
  CHECK(meter.peak_bytes() == 5 * kMegabyte);
  const auto c = megabytes(1);
  CHECK(meter.current_bytes() == 3 * kMegabyte);
  CHECK(meter.peak_bytes() == 5 * kMegabyte);
  CHECK(meter.peak_bytes(at::kCUDA) == 0);
}

TEST_CASE("The peak of a memory meter can be reset", "[core][cpu]") {
  MemoryMeter meter;
  const auto kept = megabytes(1);
  static_cast<void>(megabytes(4));
  REQUIRE(meter.peak_bytes() == 5 * kMegabyte);
  meter.reset_peak();
  CHECK(meter.peak_bytes() == kMegabyte);
  static_cast<void>(megabytes(2));
  CHECK(meter.peak_bytes() == 3 * kMegabyte);
}

TEST_CASE("A memory meter sees the backward pass", "[core][cpu]") {
  const auto x = torch::ones({kMegabyte / 4}).requires_grad_();  // 1 MB
  const auto y = Hungry::apply(x).sum();
  const MemoryMeter meter;
  y.backward();
  CHECK(meter.current_bytes() == kMegabyte);  // the gradient of x
  CHECK(meter.peak_bytes() >= Hungry::kScratch);
  CHECK(meter.peak_bytes() <= Hungry::kScratch + 3 * kMegabyte);
}

TEST_CASE("A memory meter does not count the freeing of earlier blocks", "[core][cpu]") {
  std::optional<at::Tensor> early = megabytes(2);
  std::optional<at::Tensor> between;
  {
    const MemoryMeter first;
    between = megabytes(4);  // LibTorch still knows the size of this one
  }
  const MemoryMeter meter;
  early.reset();
  between.reset();
  CHECK(meter.current_bytes() == 0);
  const auto late = megabytes(1);
  CHECK(meter.current_bytes() == kMegabyte);
}

TEST_CASE("Memory meters nest and both count", "[core][cpu]") {
  const MemoryMeter outer;
  const auto a = megabytes(1);
  {
    const MemoryMeter inner;
    const auto b = megabytes(2);
    CHECK(inner.current_bytes() == 2 * kMegabyte);
    CHECK(outer.current_bytes() == 3 * kMegabyte);
  }
  CHECK(outer.current_bytes() == kMegabyte);
  CHECK(outer.peak_bytes() == 3 * kMegabyte);
}

TEST_CASE("A memory meter does not count other threads", "[core][cpu]") {
  const MemoryMeter meter;
  std::thread([] { static_cast<void>(megabytes(2)); }).join();
  CHECK(meter.peak_bytes() == 0);
}

TEST_CASE("A memory meter counts CUDA memory, in backward too", "[core][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device");
    return;
  }
  const auto x = torch::ones({kMegabyte / 4}, torch::kCUDA).requires_grad_();
  const auto y = Hungry::apply(x).sum();
  const MemoryMeter meter;
  {
    const auto a = megabytes(2, at::kCUDA);
    CHECK(meter.current_bytes(at::kCUDA) >= 2 * kMegabyte);
    CHECK(meter.current_bytes(at::kCUDA) <= 2 * kMegabyte + 2'000'000);
  }
  CHECK(meter.current_bytes(at::kCUDA) == 0);
  y.backward();
  CHECK(meter.peak_bytes(at::kCUDA) >= Hungry::kScratch);
  CHECK(meter.current_bytes(at::kCUDA) >= kMegabyte);
}

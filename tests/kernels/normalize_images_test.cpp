// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/kernels/normalize_images.hpp"

#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr std::array<double, 3> kMean{0.48145466, 0.4578275, 0.40821073};
constexpr std::array<double, 3> kDeviation{0.26862954, 0.26130258, 0.27577711};
constexpr auto kContiguous = at::MemoryFormat::Contiguous;
constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

at::Tensor random_pixels(std::int64_t batch, std::int64_t height, std::int64_t width) {
  torch::manual_seed(11);
  return torch::randint(0, 256, {batch, 3, height, width}, torch::kUInt8);
}

// float64, one channel at a time.
at::Tensor oracle(const at::Tensor& pixels) {
  auto values = pixels.to(at::kCPU, at::kDouble) / 255;
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto k = static_cast<std::size_t>(c);
    values.select(1, c).sub_(kMean[k]).div_(kDeviation[k]);
  }
  return values;
}

}  // namespace

TEST_CASE("Normalized bytes are those of the formula in every dtype and memory format",
          "[kernels][cpu]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto in = GENERATE(kContiguous, kChannelsLast);
  const auto out = GENERATE(kContiguous, kChannelsLast);
  const auto pixels = random_pixels(3, 17, 23).contiguous(in);
  const auto values = normalize_images(pixels, kMean, kDeviation, dtype, out);
  REQUIRE(values.scalar_type() == dtype);
  REQUIRE(values.is_contiguous(out));
  REQUIRE(test::close(values, oracle(pixels)));
}

TEST_CASE("On the CPU the fused pass has the same bits as ATen's operations", "[kernels][cpu]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto format = GENERATE(kContiguous, kChannelsLast);
  // Every byte in every channel.
  const auto pixels =
      torch::arange(256).to(torch::kUInt8).view({1, 1, 16, 16}).expand({1, 3, 16, 16});
  REQUIRE(normalize_images(pixels, kMean, kDeviation, dtype, format)
              .equal(contrapunto::detail::normalize_images_reference(pixels, kMean, kDeviation,
                                                                     dtype, format)));
}

TEST_CASE("Images too small, too many or none to share out are normalized too", "[kernels][cpu]") {
  const auto format = GENERATE(kContiguous, kChannelsLast);
  for (const auto& pixels : {random_pixels(1, 1, 1), random_pixels(257, 1, 3),
                             random_pixels(2, 300, 301), random_pixels(64, 33, 31)}) {
    const auto values = normalize_images(pixels, kMean, kDeviation, at::kFloat, format);
    REQUIRE(test::close(values, oracle(pixels)));
  }
  const auto none = normalize_images(torch::empty({0, 3, 4, 4}, torch::kUInt8), kMean, kDeviation);
  REQUIRE(none.sizes() == at::IntArrayRef{0, 3, 4, 4});
  REQUIRE(none.scalar_type() == at::kFloat);
}

TEST_CASE("A slice of a larger batch is normalized as its copy would be", "[kernels][cpu]") {
  const auto slice = random_pixels(4, 12, 10).slice(3, 1, 8).slice(0, 1, 3);
  REQUIRE(
      normalize_images(slice, kMean, kDeviation)
          .equal(normalize_images(slice.clone(at::MemoryFormat::Contiguous), kMean, kDeviation)));
}

TEST_CASE("Images and statistics that do not fit are refused with their shape or value",
          "[kernels][cpu]") {
  REQUIRE_THROWS_WITH(normalize_images(torch::zeros({2, 3, 4, 4}), kMean, kDeviation),
                      Contains("Float [2, 3, 4, 4], expected uint8 [B, 3, H, W]"));
  REQUIRE_THROWS_WITH(
      normalize_images(torch::zeros({2, 4, 4, 3}, torch::kUInt8), kMean, kDeviation),
      Contains("[2, 4, 4, 3]"));
  const auto pixels = random_pixels(1, 2, 2);
  REQUIRE_THROWS_WITH(normalize_images(pixels, kMean, {0.2, 0.0, 0.2}),
                      Contains("deviation is (0.2, 0, 0.2)"));
  REQUIRE_THROWS_WITH(normalize_images(pixels, kMean, kDeviation, at::kDouble),
                      Contains("dtype is Double"));
  REQUIRE_THROWS_WITH(
      normalize_images(pixels, kMean, kDeviation, at::kFloat, at::MemoryFormat::Preserve),
      Contains("memory format"));
}

TEST_CASE("The CUDA kernel agrees with the formula for every path through it", "[kernels][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
#ifdef CONTRAPUNTO_HAS_CUDA
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto in = GENERATE(kContiguous, kChannelsLast);
  const auto out = GENERATE(kContiguous, kChannelsLast);
  // Whole blocks; several blocks with a tail; one warp with a tail; lengths no multiple of 16.
  for (const auto& pixels :
       {random_pixels(2, 64, 64), random_pixels(3, 224, 224), random_pixels(5, 4, 4),
        random_pixels(3, 17, 23), random_pixels(1, 1, 1)}) {
    const auto values =
        normalize_images(pixels.to(at::kCUDA).contiguous(in), kMean, kDeviation, dtype, out);
    REQUIRE(values.is_cuda());
    REQUIRE(values.is_contiguous(out));
    REQUIRE(test::close(values, oracle(pixels)));
  }
#else
  WARN("built without contrapunto::cuda: ATen's operations are tested");
  const auto pixels = random_pixels(2, 8, 8);
  REQUIRE(test::close(normalize_images(pixels.to(at::kCUDA), kMean, kDeviation), oracle(pixels)));
#endif
}

TEST_CASE("The CUDA kernel takes pixels that start at an odd address", "[kernels][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  const auto pixels = random_pixels(2, 16, 16);
  auto storage = torch::empty({pixels.numel() + 1}, torch::dtype(torch::kUInt8).device(at::kCUDA));
  auto odd = storage.narrow(0, 1, pixels.numel()).view(pixels.sizes());
  odd.copy_(pixels);
  REQUIRE(test::close(normalize_images(odd, kMean, kDeviation), oracle(pixels)));
}

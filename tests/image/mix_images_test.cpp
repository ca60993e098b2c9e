// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/image/mix_images.hpp"

#include <cmath>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

at::Tensor noise(std::int64_t count, std::int64_t height, std::int64_t width) {
  return torch::randint(256, {count, 3, height, width}, torch::kByte);
}

}  // namespace

TEST_CASE("Mixed images equal a loop over pixels in float64", "[image][cpu]") {
  torch::manual_seed(1);
  const auto images = noise(4, 6, 9);
  const std::vector<MixedRow> rows{
      {.partner = 3, .box = {0, 0, 9, 6}, .own = 0.3, .weight = 0.3},  // a blend of all pixels
      {.partner = 2, .box = {2, 1, 4, 5}, .own = 0.0, .weight = 0.5},  // a part of another image
      {.partner = 1, .box = {5, 0, 0, 6}, .own = 0.0, .weight = 1.0},  // an empty box
      {.partner = 0},                                                  // nothing
  };
  const auto mixed = mix_images(images, rows);
  REQUIRE(mixed.sizes() == images.sizes());
  REQUIRE(mixed.scalar_type() == torch::kByte);
  const auto x = images.to(torch::kDouble), y = mixed.to(torch::kDouble);
  const auto a = x.accessor<double, 4>(), result = y.accessor<double, 4>();
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto& row = rows[static_cast<std::size_t>(i)];
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t r = 0; r < 6; ++r)
        for (std::int64_t s = 0; s < 9; ++s) {
          const auto& box = row.box;
          const bool inside =
              r >= box.top && r < box.top + box.height && s >= box.left && s < box.left + box.width;
          const double own = inside ? row.own : 1.0;
          const double exact = own * a[i][c][r][s] + (1 - own) * a[row.partner][c][r][s];
          // A sum next to a half may be rounded to either side.
          REQUIRE(std::abs(result[i][c][r][s] - exact) < 0.5 + 1e-4);
          if (own == 0.0 || own == 1.0) REQUIRE(result[i][c][r][s] == exact);
        }
  }
}

TEST_CASE("Mixing does not depend on the memory format and leaves the images alone",
          "[image][cpu]") {
  torch::manual_seed(2);
  const auto images = noise(6, 8, 8);
  std::vector<MixedRow> rows;
  for (std::int64_t i = 0; i < 6; ++i)
    rows.push_back({.partner = 5 - i, .box = {i, 1, 2, 6}, .own = 0.17 * static_cast<double>(i)});
  const auto before = images.clone();
  const auto mixed = mix_images(images, rows);
  CHECK(torch::equal(images, before));
  CHECK_FALSE(torch::equal(images, mixed));
  const auto last = images.contiguous(at::MemoryFormat::ChannelsLast);
  const auto other = mix_images(last, rows);
  CHECK(torch::equal(other, mixed));
  CHECK(other.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("A batch that is mixed in pieces equals its images mixed one by one", "[image][cpu]") {
  torch::manual_seed(3);
  const auto images = noise(5, 1200, 1200);  // A piece holds one of these.
  std::vector<MixedRow> rows;
  for (std::int64_t i = 0; i < 5; ++i)
    rows.push_back({.partner = 4 - i, .box = {0, 0, 1200, 600}, .own = 0.4});
  const auto mixed = mix_images(images, rows);
  for (std::int64_t i = 0; i < 5; ++i) {
    auto own = rows[static_cast<std::size_t>(i)];
    own.partner = 1;
    const auto pair = torch::stack({images[i], images[4 - i]});
    CHECK(torch::equal(mix_images(pair, {own, MixedRow{}})[0], mixed[i]));
  }
}

TEST_CASE("Images on a GPU are mixed as those on the CPU", "[image][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  torch::manual_seed(4);
  const auto images = noise(6, 64, 48).contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<MixedRow> rows;
  for (std::int64_t i = 0; i < 6; ++i)
    rows.push_back({.partner = 5 - i, .box = {i, 2, 30, 40}, .own = i < 3 ? 0.0 : 0.37});
  const auto mixed = mix_images(images.to(torch::kCUDA), rows);
  REQUIRE(mixed.is_cuda());
  const auto difference =
      (mixed.cpu().to(torch::kInt) - mix_images(images, rows).to(torch::kInt)).abs();
  CHECK(difference.max().item<int>() <= 1);  // Sums next to a half may be rounded to either side.
  CHECK(difference.narrow(0, 0, 3).max().item<int>() == 0);
}

TEST_CASE("Mixing names what it cannot use", "[image][cpu]") {
  const auto images = torch::zeros({2, 3, 4, 4}, torch::kByte);
  CHECK_THROWS_WITH(mix_images(images.to(torch::kFloat), {{}, {}}),
                    Contains("uint8") && Contains("normalized"));
  CHECK_THROWS_WITH(mix_images(images, {{}}), Contains("1 rows for 2 images"));
  CHECK_THROWS_WITH(mix_images(images, {{}, {.partner = 2}}),
                    Contains("row 1") && Contains("partner 2"));
  CHECK_THROWS_WITH(mix_images(images, {{}, {.box = {1, 0, 4, 4}}}), Contains("row 1"));
  CHECK_THROWS_WITH(mix_images(images[0], {{}}), Contains("[B, 3, H, W]"));
}

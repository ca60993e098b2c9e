// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "contrapunto/nn/patch_dropout.hpp"
#include "contrapunto/nn/patch_embedding.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

TEST_CASE("Patch embedding is the strided convolution, leftover pixels and layout included",
          "[nn][cpu]") {
  torch::manual_seed(9);
  for (const bool bias : {false, true}) {
    PatchEmbedding embed(4, 6, bias, at::dtype(at::kDouble));
    const auto images = torch::randn({2, 3, 13, 10}, at::dtype(at::kDouble));
    const auto expected =
        at::conv2d(images, embed->weight, embed->bias, 4).flatten(2).transpose(1, 2).flatten(0, 1);
    CHECK(test::close(embed(images), expected, 10));
    CHECK(test::close(embed(images.contiguous(at::MemoryFormat::ChannelsLast)), expected, 10));
  }
}

TEST_CASE("Patch dropout keeps the published number of patches, at least one", "[nn][cpu]") {
  CHECK(patches_kept(196, 0.5) == 98);
  CHECK(patches_kept(196, 0.75) == 49);
  CHECK(patches_kept(49, 0.5) == 24);
  CHECK(patches_kept(49, 0.99) == 1);
  CHECK(patches_kept(49, 0.0) == 49);
}

TEST_CASE("Patch dropout keeps the class token and distinct patches, which differ between images",
          "[nn][cpu]") {
  torch::manual_seed(10);
  const std::int64_t batch = 8, patches = 40;
  // Each token is its own position, shifted by 1000 per image.
  const auto x = (torch::arange(patches + 1) + 1000 * torch::arange(batch).unsqueeze(1))
                     .to(at::kFloat)
                     .unsqueeze(2);
  const auto y = drop_patches(x, 0.5, 1);
  REQUIRE(y.sizes() == at::IntArrayRef({batch, 21, 1}));
  const auto position = y.squeeze(2) - 1000 * torch::arange(batch).unsqueeze(1);
  CHECK((position.select(1, 0) == 0).all().item<bool>());
  const auto kept = std::get<0>(position.narrow(1, 1, 20).sort(1));
  CHECK((kept >= 1).logical_and(kept <= patches).all().item<bool>());
  CHECK((kept.diff(1, 1) >= 1).all().item<bool>());
  CHECK_FALSE(at::equal(kept[0], kept[1]));
}

TEST_CASE("Patch dropout without a class token drops from all tokens", "[nn][cpu]") {
  torch::manual_seed(11);
  const auto x = torch::arange(10).to(at::kFloat).view({1, 10, 1}).expand({64, 10, 1}).contiguous();
  const auto y = drop_patches(x, 0.5, 0);
  REQUIRE(y.size(1) == 5);
  // Each of 10 tokens is kept with probability 1/2, so over 64 images all of them appear.
  CHECK(std::get<0>(at::_unique(y)).numel() == 10);
}

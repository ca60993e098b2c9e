// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/kernels/augment_images.hpp"

#ifdef CONTRAPUNTO_HAS_IMAGE
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#endif
#include "data/contains.hpp"
#include "kernels/augment_images_checks.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

/// augment_images() on `device`.
struct AugmentOn {
  torch::Device device;
  std::vector<at::Tensor> operator()(const PackedImages& packed,
                                     const AugmentedImages& made) const {
    return augment_images(packed, device, made);
  }
};

}  // namespace

TEST_CASE("Images that are augmented from their pack have the bytes of the transform",
          "[kernels][cpu]") {
  for (const auto& given : test::augment_cases(60))
    test::check_augment_case(AugmentOn{torch::kCPU}, given);
}

TEST_CASE("The cases of the tests have every change of an image", "[kernels][cpu]") {
  using contrapunto::detail::RowColorChange;
  std::array<int, 4> kinds{};
  int flips = 0, grays = 0, solarized = 0, overlaps = 0, shifts = 0, pieces = 0;
  for (const auto& given : test::augment_cases(60))
    for (const auto& table : given.packed.tables) {
      for (const auto& row : table.rows) {
        for (int i = 0; i < row.change_count; ++i)
          ++kinds.at(static_cast<std::size_t>(row.changes[i].kind));
        flips += row.flip;
        grays += row.grayscale;
        solarized += row.solarize_from < 256;
        overlaps += row.erased_count > 1;
        shifts += row.left != 0 && row.top != 0;
        pieces = std::max(pieces, row.piece);
      }
    }
  for (const int kind : kinds) CHECK(kind > 100);
  for (const int count : {flips, grays, solarized, overlaps, shifts, pieces}) CHECK(count > 20);
}

TEST_CASE("Large crops are resized before they are packed, and the bytes stay the same",
          "[kernels][cpu]") {
  const auto options = test::all_changes(8, Interpolation::kBicubic);
  std::vector<RgbImage> images;
  images.push_back(test::noise_image(200, 150));
  images.push_back(test::noise_image(3, 90));  // In shifts, the whole image is the crop.
  images.push_back(test::noise_image(90, 3));
  auto shifted = options;
  shifted.shift_padding = 2;
  const auto given = test::augment_case("large", images, {shifted});
  for (const auto& row : given.packed.tables.at(0).rows) CHECK((row.width == 8 && row.height == 8));
  test::check_augment_case(AugmentOn{torch::kCPU}, given);
}

TEST_CASE("Tensors of the same crop share its pixels", "[kernels][cpu]") {
  std::vector<RgbImage> images;
  images.push_back(test::noise_image(40, 30));
  const auto given = test::augment_case(
      "two sizes", images, {{.image_size = 24, .train = true}, {.image_size = 32, .train = true}});
  const auto& tables = given.packed.tables;
  CHECK(tables.at(0).rows.at(0).pixels == tables.at(1).rows.at(0).pixels);
  REQUIRE(given.packed.pieces.size() == 1);
  const auto& row = tables.at(0).rows.at(0);
  CHECK(given.packed.pieces.front().numel() == 3 * row.width * row.height);
}

TEST_CASE("Augmented images of a wrong kind raise", "[kernels][cpu]") {
  CHECK(augment_images({}, torch::kCPU).empty());
  CHECK(augment_images({.tables = {{.image_size = 5}}}, torch::kCPU).at(0).sizes() ==
        at::IntArrayRef({0, 3, 5, 5}));
  CHECK_THROWS_WITH(augment_images({}, torch::kCPU, {.dtype = torch::kDouble}),
                    test::contains("dtype is Double"));
  CHECK_THROWS_WITH(augment_images({}, torch::kCPU, {.deviation = {1, 0, 1}}),
                    test::contains("three positive numbers"));
  CHECK_THROWS_WITH(augment_images({}, torch::kCPU, {.format = at::MemoryFormat::Preserve}),
                    test::contains("expected Contiguous or ChannelsLast"));
}

TEST_CASE("The CUDA kernel gives the bytes of the transform", "[kernels][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  for (const auto& given : test::augment_cases(60))
    test::check_augment_case(AugmentOn{torch::kCUDA}, given);
}

#ifdef CONTRAPUNTO_HAS_IMAGE
TEST_CASE("A loader that augments on a GPU gives the batches of the host", "[kernels][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  const auto source = std::make_shared<SyntheticShapes>(SyntheticShapesOptions{.samples = 200});
  const ImageTransform transform(test::all_changes(64, Interpolation::kBicubic));
  LoaderOptions options{.batch_size = 32, .views = 2, .pin_memory = true, .channels_last = true};
  DataLoader host(source, transform, nullptr, options);
  options.augment_device = torch::kCUDA;
  DataLoader device(source, transform, nullptr, options);
  host.start_epoch(1);
  device.start_epoch(1);
  while (const auto expected = host.next()) {
    const auto batch = device.next();
    REQUIRE(batch);
    for (const char* name : {"image", "image2"}) {
      REQUIRE(batch->at(name).is_cuda());
      REQUIRE(batch->at(name).cpu().equal(expected->at(name)));
    }
  }
  REQUIRE_FALSE(device.next());
}
#endif

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/detail/image_packer.hpp"

#include <cstdlib>

#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/open_data_source.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

ImageTransformOptions all_changes(std::int64_t size) {
  ImageTransformOptions options{.image_size = size,
                                .train = true,
                                .crop_scale = {0.1, 1.0},
                                .horizontal_flip = true,
                                .color_jitter = {0.4, 0.4, 0.4, 0.1},
                                .color_jitter_probability = 0.8,
                                .grayscale_probability = 0.2,
                                .solarize_probability = 0.2};
  options.erasing.probability = 0.5;
  options.erasing.fill = ErasingFill::kNoise;
  return options;
}

const ImageTransform kTransform(all_changes(24));

std::vector<std::int64_t> letters(std::string_view text) {
  return {text.begin(), text.end()};
}

std::shared_ptr<const SampleSource> shapes() {
  return std::make_shared<SyntheticShapes>(SyntheticShapesOptions{.samples = 50});
}

/// Requires that loaders with and without `options.augment_device` give the same batches.
void require_same_batches(const ImageTransform& transform, const DataLoader::Tokenize& tokenize,
                          LoaderOptions options,
                          const std::shared_ptr<const SampleSource>& source = shapes()) {
  options.augment_device = torch::kCPU;
  DataLoader packed(source, transform, tokenize, options);
  options.augment_device.reset();
  DataLoader plain(source, transform, tokenize, options);
  for (const std::int64_t epoch : {0, 3}) {
    packed.start_epoch(epoch, epoch);
    plain.start_epoch(epoch, epoch);
    std::int64_t batches = 0;
    while (const auto expected = plain.next()) {
      const auto batch = packed.next();
      REQUIRE(batch);
      REQUIRE(batch->keys == expected->keys);
      REQUIRE(batch->tensors.size() == expected->tensors.size());
      for (const auto& [name, tensor] : expected->tensors) {
        INFO(name);
        REQUIRE(batch->at(name).equal(tensor));
        REQUIRE(batch->at(name).strides() == tensor.strides());
      }
      ++batches;
    }
    REQUIRE_FALSE(packed.next());
    REQUIRE(batches > 0);
  }
  CHECK(packed.statistics().samples == plain.statistics().samples);
}

}  // namespace

TEST_CASE("Augmentation on a device gives the batches of augmentation in the loader",
          "[data][cpu]") {
  const LoaderOptions options{.batch_size = 8, .threads = 3, .seed = 5};
  require_same_batches(kTransform, letters, options);
  require_same_batches(kTransform, nullptr, options);  // Nothing but images and labels.
}

TEST_CASE("Views and the readings of teachers are augmented on a device too", "[data][cpu]") {
  require_same_batches(kTransform, letters,
                       {.batch_size = 7,
                        .threads = 2,
                        .views = 2,
                        .image_readings = {{.name = "teacher",
                                            .image_size = 40,
                                            .interpolation = Interpolation::kBilinear}},
                        .channels_last = true});
}

TEST_CASE("Shifted images and cached images are augmented on a device too", "[data][cpu]") {
  require_same_batches(ImageTransform({.image_size = 24, .train = true, .shift_padding = 5}),
                       nullptr, {.batch_size = 10, .cache_decoded = true});
}

TEST_CASE("Photographs are augmented on a device as in the loader", "[data][cpu]") {
  const char* const data = std::getenv("CONTRAPUNTO_DATA");
  if (!data || !*data) {
    WARN("CONTRAPUNTO_DATA is not set; skipped");
    return;
  }
  const test::TemporaryFolder folder;
  const auto photographs = open_data_source(std::string(data) + "/photos/test-000.tar",
                                            {.shards = {.index = {.folder = folder / "indexes"}}});
  require_same_batches(ImageTransform(all_changes(224)), letters, {.batch_size = 24}, photographs);
}

TEST_CASE("A loader refuses to augment on a device what a kernel cannot make", "[data][cpu]") {
  const LoaderOptions options{.batch_size = 8, .augment_device = torch::kCPU};
  const auto loader_of = [&](ImageTransformOptions changed, const LoaderOptions& loading) {
    const DataLoader loader(shapes(), ImageTransform(std::move(changed)), nullptr, loading);
  };
  CHECK_NOTHROW(loader_of(all_changes(24), options));
  auto blurred = all_changes(24);
  blurred.blur_probability = 0.25;
  CHECK_THROWS_WITH(loader_of(blurred, options),
                    test::contains("augmentation on the device has no blur (probability 0.25)"));
  auto automatic = all_changes(24);
  automatic.augment = "3a";
  CHECK_THROWS_WITH(loader_of(automatic, options),
                    test::contains("no automatic augmentation, such as augment '3a'"));
  auto simple = all_changes(24);
  simple.simple_crop_padding = 4;
  CHECK_THROWS_WITH(loader_of(simple, options), test::contains("no simple crop"));
  CHECK_THROWS_WITH(loader_of(all_changes(24).for_evaluation(), options),
                    test::contains("the transform is not random"));
  auto evaluation = options;
  evaluation.train = false;
  CHECK_THROWS_WITH(loader_of(all_changes(24), evaluation), test::contains("is for training"));
  CHECK_NOTHROW(loader_of(all_changes(24).for_evaluation(), options.for_evaluation()));
  auto elsewhere = options;
  elsewhere.augment_device = torch::kMeta;
  CHECK_THROWS_WITH(loader_of(all_changes(24), elsewhere), test::contains("device is meta"));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// with_repeats() and views_as_rows() together: repeated augmentation.
#include <map>
#include <memory>
#include <set>
#include <string>

#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "contrapunto/data/views_as_rows.hpp"
#include "contrapunto/data/with_repeats.hpp"
#include "data/contains.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Views become rows, with their labels and keys", "[data][cpu]") {
  torch::manual_seed(1);
  Batch batch{.keys = {"a", "b"}};
  for (const auto* name : {"image", "image2", "image3"})
    batch.tensors[name] = torch::randint(256, {2, 3, 4, 4}, torch::kByte);
  batch.tensors["label"] = torch::tensor({5, 7}, torch::kLong);
  const auto rows = views_as_rows(batch, 3);
  CHECK(rows.tensors.size() == 2);
  CHECK(rows.size() == 6);
  CHECK(rows.keys == std::vector<std::string>{"a", "b", "a", "b", "a", "b"});
  CHECK(torch::equal(rows.at("label"), torch::tensor({5, 7, 5, 7, 5, 7}, torch::kLong)));
  CHECK(torch::equal(rows.at("image"),
                     torch::cat({batch.at("image"), batch.at("image2"), batch.at("image3")})));
  const auto same = views_as_rows(batch, 1);
  CHECK(same.tensors.size() == 4);
  CHECK(torch::equal(same.at("image"), batch.at("image")));
  CHECK_THROWS_WITH(views_as_rows(batch, 4), test::contains("image4"));
  CHECK_THROWS_WITH(views_as_rows(batch, 0), test::contains("views (0)"));
}

TEST_CASE("An epoch of repeated augmentation visits a part of the samples, each in several views",
          "[data][cpu]") {
  const auto shapes = std::make_shared<SyntheticShapes>(SyntheticShapesOptions{.samples = 60});
  const auto options = with_repeats({.batch_size = 12, .threads = 1}, 3, *shapes);
  CHECK(options.batch_size == 4);
  CHECK(options.views == 3);
  CHECK(options.epoch_samples == 20);
  DataLoader loader(shapes,
                    ImageTransform({.image_size = 16, .train = true, .crop_scale = {0.2, 1.0}}),
                    nullptr, options);
  CHECK(loader.batches_per_epoch() == 5);
  std::map<std::string, int> seen;
  int different = 0;
  for (int epoch = 0; epoch < 3; ++epoch) {
    loader.start_epoch(epoch);
    while (const auto batch = loader.next()) {
      const auto rows = views_as_rows(*batch, 3);
      REQUIRE(rows.size() == 12);
      for (const auto& key : rows.keys) ++seen[key];
      for (std::int64_t i = 0; i < 4; ++i) {
        const auto key = rows.keys[static_cast<std::size_t>(i)];
        CHECK(rows.at("label")[i].item<std::int64_t>() == std::stoll(key.substr(6)) % 30);
        different += torch::equal(rows.at("image")[i], rows.at("image")[i + 4]) ? 0 : 1;
      }
    }
  }
  CHECK(different > 50);     // Two of the 60 pairs of crops may be the same.
  CHECK(seen.size() == 60);  // Three epochs are one pass.
  for (const auto& [_, times] : seen) CHECK(times == 3);
}

TEST_CASE("Repeats that do not divide a batch are named", "[data][cpu]") {
  const SyntheticShapes shapes({.samples = 60});
  CHECK_THROWS_WITH(with_repeats({.batch_size = 16}, 3, shapes),
                    test::contains("16 rows") && test::contains("repeats (3)"));
  CHECK_THROWS_WITH(with_repeats({}, 0, shapes), test::contains("repeats (0)"));
  const auto same = with_repeats({.batch_size = 16}, 1, shapes);
  CHECK(same.batch_size == 16);
  CHECK(same.views == 1);
  CHECK(same.epoch_samples == 0);
  CHECK(with_repeats({.batch_size = 4, .epoch_samples = 100}, 2, shapes).epoch_samples == 50);
}

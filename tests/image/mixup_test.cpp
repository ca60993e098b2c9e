// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// tests/parity/supervised_parity.py compares the draws with timm's.
#include "contrapunto/image/mixup.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

Batch labeled_images(std::int64_t count, std::int64_t size) {
  Batch batch;
  batch.tensors["image"] = torch::randint(256, {count, 3, size, size}, torch::kByte);
  batch.tensors["label"] = torch::randint(10, {count}, torch::kLong);
  return batch;
}

std::vector<MixedRow> rows_of(const Mixup& mixup, std::int64_t rows, std::uint64_t seed = 0) {
  RandomStream random(seed);
  return mixup.draw(rows, 32, 32, random);
}

bool mixes_same(const MixedRow& a, const MixedRow& b) {
  return a.own == b.own && a.weight == b.weight && a.box.left == b.box.left &&
         a.box.top == b.box.top && a.box.width == b.box.width && a.box.height == b.box.height;
}

}  // namespace

TEST_CASE("The beta distribution has its moments and symmetry", "[image][cpu]") {
  for (const double a : {0.2, 0.8, 1.0, 4.0}) {
    RandomStream random(5);
    constexpr int n = 100'000;
    double sum = 0.0, squares = 0.0;
    int below = 0;
    for (int i = 0; i < n; ++i) {
      const double x = contrapunto::detail::draw_beta(a, random);
      REQUIRE((x >= 0.0 && x <= 1.0));
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
      below += x < 0.5 ? 1 : 0;
    }
    const double variance = 1.0 / (4.0 * (2.0 * a + 1.0));
    INFO("a = " << a);
    CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(variance / n));
    CHECK(squares / n == Approx(variance).epsilon(0.02));
    CHECK(std::abs(below - n / 2) < 5 * std::sqrt(n / 4.0));
  }
  // A tiny parameter draws almost only 0 and 1, and no NaN.
  RandomStream random(6);
  for (int i = 0; i < 1'000; ++i) {
    const double x = contrapunto::detail::draw_beta(1e-3, random);
    REQUIRE((x >= 0.0 && x <= 1.0));
  }
}

TEST_CASE("Modes choose partners and what is drawn once", "[image][cpu]") {
  const auto of = [](MixupMode mode, double cutmix = 1.0) {
    return rows_of({.mixup = 0.8, .cutmix = cutmix, .mode = mode}, 7);
  };
  for (const auto mode : {MixupMode::kBatch, MixupMode::kPair, MixupMode::kElement}) {
    const auto rows = of(mode);
    for (std::size_t i = 0; i < 7; ++i) CHECK(rows[i].partner == 6 - static_cast<std::int64_t>(i));
  }
  const auto batch = of(MixupMode::kBatch);
  for (const auto& row : batch) CHECK(mixes_same(row, batch[0]));
  const auto pair = of(MixupMode::kPair);
  for (std::size_t i = 0; i < 3; ++i) CHECK(mixes_same(pair[i], pair[6 - i]));
  CHECK_FALSE(mixes_same(pair[0], pair[1]));
  CHECK(pair[3].weight == 1.0);  // The middle has no partner.
  CHECK(pair[3].box.width == 0);
  const auto element = of(MixupMode::kElement);
  std::set<double> weights;
  for (const auto& row : element) weights.insert(row.weight);
  CHECK(weights.size() == 7);
  const auto rolled = of(MixupMode::kRolled, 0.0);
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(rolled[i].partner == static_cast<std::int64_t>((i + 6) % 7));
    CHECK(mixes_same(rolled[i], rolled[0]));
  }
  for (std::uint64_t seed = 0; seed < 200; ++seed)
    REQUIRE(rows_of({.mixup = 0.2, .mode = MixupMode::kRolled}, 2, seed)[0].weight >= 0.5);
}

TEST_CASE("CutMix takes the share from the area that is left", "[image][cpu]") {
  const Mixup mixup{.cutmix = 1.0, .mode = MixupMode::kElement};
  double area = 0.0;
  constexpr std::int64_t n = 20'000;
  for (const auto& row : rows_of(mixup, n)) {
    const auto& box = row.box;
    REQUIRE((box.left >= 0 && box.top >= 0 && box.width >= 0 && box.height >= 0));
    REQUIRE((box.left + box.width <= 32 && box.top + box.height <= 32));
    REQUIRE(row.own == 0.0);
    REQUIRE(row.weight == 1.0 - static_cast<double>(box.width * box.height) / 1024.0);
    area += 1.0 - row.weight;
  }
  // A square of side r around a uniform center keeps r (1 - r / 4) of each side inside of a unit
  // square, and r^2 is uniform: the mean area is the mean of r^2 (1 - r / 4)^2, which is
  // 1/2 - 1/5 + 1/48. Sides are rounded down to pixels, which takes up to a pixel of 32.
  const double mean = 1.0 / 2 - 1.0 / 5 + 1.0 / 48;
  CHECK(area / n < mean + 0.01);
  CHECK(area / n > mean - 0.03);
}

TEST_CASE("The probability and the share of CutMix are those of the settings", "[image][cpu]") {
  constexpr std::int64_t n = 20'000;
  const Mixup mixup{.mixup = 0.8,
                    .cutmix = 1.0,
                    .probability = 0.6,
                    .cutmix_share = 0.3,
                    .mode = MixupMode::kElement};
  int blended = 0, cut = 0;
  for (const auto& row : rows_of(mixup, n)) {
    if (row.own == 1.0) continue;
    row.own == 0.0 ? ++cut : ++blended;
  }
  const auto within = [&](int count, double share) {
    return std::abs(count - share * n) < 5 * std::sqrt(n * share * (1 - share));
  };
  CHECK(within(blended, 0.6 * 0.7));
  CHECK(within(cut, 0.6 * 0.3));
  CHECK_FALSE(Mixup{}.enabled());
  for (const auto& row : rows_of({.mixup = 0.8, .probability = 0.0}, 8)) CHECK(row.own == 1.0);
}

TEST_CASE("A mixed batch is a pure function of seed, step and rank", "[image][cpu]") {
  torch::manual_seed(4);
  const auto batch = labeled_images(8, 16);
  const Mixup mixup{.mixup = 0.8, .cutmix = 1.0, .mode = MixupMode::kElement};
  const auto mixed = [&](std::uint64_t seed, std::int64_t step, std::int64_t rank) {
    torch::manual_seed(seed + 100);  // Random numbers of the process play no part.
    return mixup(batch, seed, step, rank);
  };
  const auto first = mixed(1, 2, 3), same = mixed(1, 2, 3);
  for (const auto* name : {"image", "label", kMixedLabelName, kLabelWeightName})
    CHECK(torch::equal(first.at(name), same.at(name)));
  for (const auto& other : {mixed(2, 2, 3), mixed(1, 3, 3), mixed(1, 2, 4)})
    CHECK_FALSE(torch::equal(first.at(kLabelWeightName), other.at(kLabelWeightName)));
  CHECK(torch::equal(first.at("label"), batch.at("label")));
  CHECK(torch::equal(first.at(kMixedLabelName), batch.at("label").flip(0)));
}

TEST_CASE("Images and labels are mixed alike", "[image][cpu]") {
  // Image i has the value 10 i everywhere, so that the pixels show the weights.
  Batch batch;
  batch.tensors["label"] = torch::arange(6);
  batch.tensors["image"] =
      (10 * torch::arange(6)).to(torch::kByte).view({6, 1, 1, 1}).expand({6, 3, 64, 64}).clone();
  for (const auto mode : {MixupMode::kBatch, MixupMode::kPair, MixupMode::kElement}) {
    const auto mixed = Mixup{.mixup = 1.0, .cutmix = 1.0, .mode = mode}(batch, 7, 0);
    for (std::int64_t i = 0; i < 6; ++i) {
      const double w = mixed.at(kLabelWeightName)[i].item<double>();
      const auto own = mixed.at("label")[i].item<double>();
      const auto other = mixed.at(kMixedLabelName)[i].item<double>();
      const auto mean = mixed.at("image")[i].to(torch::kDouble).mean().item<double>();
      CHECK(std::abs(mean - 10 * (w * own + (1 - w) * other)) < 0.51);
    }
  }
}

TEST_CASE("Mixup names options out of range", "[image][cpu]") {
  torch::manual_seed(8);
  const auto batch = labeled_images(2, 8);
  CHECK_THROWS_WITH((Mixup{.mixup = -1.0}.check()), Contains("mixup (-1)"));
  CHECK_THROWS_WITH((Mixup{.cutmix = -1.0}.check()), Contains("cutmix (-1)"));
  CHECK_THROWS_WITH((Mixup{.probability = 2.0}.check()), Contains("probability (2)"));
  CHECK_THROWS_WITH((Mixup{.cutmix_share = 2.0}.check()), Contains("cutmix_share (2)"));
  CHECK_THROWS_WITH((Mixup{.cutmix = 1.0, .mode = MixupMode::kRolled}(batch, 0, 0)),
                    Contains("kRolled") && Contains("cutmix to 0"));
  Batch unlabeled;
  unlabeled.tensors["image"] = batch.at("image");
  CHECK_THROWS_WITH((Mixup{.mixup = 1.0}(unlabeled, 0, 0)), Contains("'label'"));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/random_erasing.hpp"

#include "contrapunto/image/erase_box.hpp"
#include "data/contains.hpp"
#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

constexpr std::array<double, 3> kMean = {0.48, 0.46, 0.41};
constexpr std::array<double, 3> kStd = {0.27, 0.26, 0.28};

}  // namespace

TEST_CASE("Erased boxes are drawn as timm draws them", "[image][cpu]") {
  // The loop of timm on a square of 1000 pixels, with numbers of its own. Both give the share of
  // the area, the height divided by the width, and the place of the first box.
  constexpr int n = 20'000;
  constexpr std::int64_t size = 1000;
  std::array<std::vector<double>, 4> ours, theirs;
  const auto add = [](auto& to, double area, double ratio, double top, double left) {
    to[0].push_back(area);
    to[1].push_back(std::log(ratio));
    to[2].push_back(top);
    to[3].push_back(left);
  };
  const RandomErasing erasing{.probability = 1.0};
  RandomStream random(3);
  for (int i = 0; i < n; ++i) {
    const auto boxes = erasing.draw(kMean, kStd, random);
    REQUIRE(boxes.size() == 1);
    const PixelBox box = pixels_of(boxes[0], size);
    REQUIRE((box.left >= 0 && box.top >= 0 && box.left + box.width <= size &&
             box.top + box.height <= size));
    add(ours, static_cast<double>(box.width * box.height) / (size * size),
        static_cast<double>(box.height) / static_cast<double>(box.width),
        static_cast<double>(box.top) / size, static_cast<double>(box.left) / size);
  }
  RandomStream others(4);
  while (theirs[0].size() < n)
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double area = others.uniform(0.02, 1.0 / 3) * size * size;
      const double ratio = std::exp(others.uniform(std::log(0.3), std::log(1 / 0.3)));
      const auto h = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area * ratio)));
      const auto w = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area / ratio)));
      if (w >= size || h >= size) continue;
      const auto top = static_cast<double>(others.integer(size - h + 1));
      const auto left = static_cast<double>(others.integer(size - w + 1));
      add(theirs, static_cast<double>(w * h) / (size * size),
          static_cast<double>(h) / static_cast<double>(w), top / size, left / size);
      break;
    }
  // Largest distance of the distribution functions (Kolmogorov and Smirnov).
  for (std::size_t what = 0; what < 4; ++what) {
    std::sort(ours[what].begin(), ours[what].end());
    std::sort(theirs[what].begin(), theirs[what].end());
    double worst = 0.0;
    for (std::size_t i = 0; i < ours[what].size(); ++i) {
      const auto below = std::lower_bound(theirs[what].begin(), theirs[what].end(), ours[what][i]) -
                         theirs[what].begin();
      worst = std::max(worst, std::abs(static_cast<double>(below) - static_cast<double>(i)) / n);
    }
    INFO(what);
    CHECK(worst < 0.022);  // p = 1e-4 for n numbers each
  }
}

TEST_CASE("The number of boxes is uniform and they share the area", "[image][cpu]") {
  const RandomErasing erasing{.probability = 0.25, .boxes = 3, .area = {0.3, 0.3}, .ratio = {1, 1}};
  std::array<int, 4> seen{};
  RandomStream random(1);
  for (int i = 0; i < 12'000; ++i) {
    const auto boxes = erasing.draw(kMean, kStd, random);
    ++seen.at(boxes.size());
    for (const ErasedBox& box : boxes)
      REQUIRE(box.width * box.height * static_cast<double>(boxes.size()) == Approx(0.3));
  }
  CHECK(std::abs(seen[0] - 9'000) < 240);  // 5 standard deviations
  for (const int count : {1, 2, 3})
    CHECK(std::abs(seen[static_cast<std::size_t>(count)] - 1'000) < 152);
}

TEST_CASE("A box is filled with the mean, one color or noise", "[image][cpu]") {
  constexpr std::int64_t size = 200;
  const auto erased = [&](ErasingFill fill, std::uint64_t seed) {
    RandomStream random(seed);
    const RandomErasing erasing{
        .probability = 1.0, .fill = fill, .area = {0.3, 0.3}, .ratio = {1.0, 1.0}};
    RgbImage image = test::noise_image(size, size);
    const auto boxes = erasing.draw(kMean, kStd, random);
    REQUIRE(boxes.size() == 1);
    erase_box(image, boxes[0]);
    const PixelBox box = pixels_of(boxes[0], size);
    // Outside of the box nothing changes.
    const RgbImage source = test::noise_image(size, size);
    for (std::int64_t y = 0; y < size; ++y)
      for (std::int64_t x = 0; x < size; ++x)
        if (y < box.top || y >= box.top + box.height || x < box.left || x >= box.left + box.width)
          REQUIRE(
              std::equal(image.row(y) + x * 3, image.row(y) + x * 3 + 3, source.row(y) + x * 3));
    std::vector<int> green;
    for (std::int64_t y = box.top; y < box.top + box.height; ++y)
      for (std::int64_t x = box.left; x < box.left + box.width; ++x)
        green.push_back(image.row(y)[x * 3 + 1]);
    return green;
  };
  const auto mean = erased(ErasingFill::kMean, 1);
  CHECK(mean == std::vector<int>(110 * 110, 117));  // 0.46 * 255 = 117.3; sqrt(0.3) * 200 = 109.5

  // The colors of many boxes are normal around the mean, except for the limits.
  double sum = 0.0;
  double squares = 0.0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    RandomStream random(seed);
    const auto box = RandomErasing{.probability = 1.0, .fill = ErasingFill::kColor}
                         .draw(kMean, kStd, random)
                         .at(0);
    const double normal = (box.color[1] / 255.0 - kMean[1]) / kStd[1];
    sum += normal;
    squares += normal * normal;
  }
  CHECK(std::abs(sum / 400) < 0.25);  // 5 standard errors
  CHECK(std::abs(squares / 400 - 1.0) < 0.36);
  const auto color = erased(ErasingFill::kColor, 5);
  CHECK(color == std::vector<int>(color.size(), color.front()));
  CHECK(color != erased(ErasingFill::kColor, 6));

  const auto noise = erased(ErasingFill::kNoise, 1);
  CHECK(noise == erased(ErasingFill::kNoise, 1));
  CHECK(noise != erased(ErasingFill::kNoise, 2));
  // Shares of black, below the mean, and white: normal with limits at -1.769 and 2.077.
  const auto share = [&](auto condition) {
    return static_cast<double>(std::count_if(noise.begin(), noise.end(), condition)) /
           static_cast<double>(noise.size());
  };
  CHECK(share([](int v) { return v == 0; }) == Approx(0.0391).margin(0.010));
  CHECK(share([](int v) { return v <= 117; }) == Approx(0.501).margin(0.025));
  CHECK(share([](int v) { return v == 255; }) == Approx(0.0193).margin(0.007));
}

TEST_CASE("A box is the same part of a square of every size", "[image][cpu]") {
  const ErasedBox box{.width = 0.5, .height = 0.25, .left = 0.999, .top = 0.0};
  const PixelBox small = pixels_of(box, 8);
  CHECK((small.left == 4 && small.top == 0 && small.width == 4 && small.height == 2));
  const PixelBox large = pixels_of(box, 80);
  CHECK((large.left == 40 && large.top == 0 && large.width == 40 && large.height == 20));
  // timm erases no whole side.
  CHECK(pixels_of({.width = 0.999, .height = 0.001}, 8).width == 7);
  CHECK(pixels_of({.width = 0.999, .height = 0.001}, 8).height == 0);
}

TEST_CASE("No erasing draws nothing, and wrong options raise", "[image][cpu]") {
  RandomStream random(1), untouched = random;
  CHECK(RandomErasing{}.draw(kMean, kStd, random).empty());
  CHECK(random.next() == untouched.next());
  CHECK_THROWS_WITH((RandomErasing{.probability = 1.5}.check()),
                    test::contains("probability (1.5)"));
  CHECK_THROWS_WITH((RandomErasing{.boxes = 0}.check()), test::contains("boxes (0)"));
  CHECK_THROWS_WITH((RandomErasing{.area = {0.5, 0.2}}.check()), test::contains("area (0.5, 0.2)"));
  CHECK_THROWS_WITH((RandomErasing{.ratio = {0.0, 1.0}}.check()), test::contains("ratio (0, 1)"));
}

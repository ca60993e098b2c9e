// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/image_transform.hpp"

#include "data/contains.hpp"
#include "data/image_encode.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using test::picture;

namespace {

at::Tensor tensor_of(RgbImage image) {
  return torch::from_blob(image.data(), {image.height(), image.width(), 3}, torch::kByte)
      .permute({2, 0, 1})
      .clone();
}

}  // namespace

TEST_CASE("Evaluation cuts the center out of the resized image", "[data][cpu]") {
  // Sides where the cut is uneven: 33 x 20 becomes 16 x 10, and 3 is left and right.
  const auto out = ImageTransform({.image_size = 10})(picture(33, 20));
  RgbImage whole;
  Resizer()(picture(33, 20), {0, 0, 33, 20}, 16, 10, {0, 0, 16, 10}, whole);
  CHECK(out.equal(tensor_of(std::move(whole)).slice(2, 3, 13)));
  CHECK(out.is_contiguous());
  // Ties go to the even side: 5 too many, half of that is 2.5, so 2 are cut off on the left.
  RgbImage wide = picture(15, 10);
  const auto even = ImageTransform({.image_size = 10})(wide);
  CHECK(even.equal(tensor_of(std::move(wide)).slice(2, 2, 12)));
}

TEST_CASE("Evaluation may cut the center out of a larger image", "[image][cpu]") {
  // An image whose shorter side is already 256 is not resized: 224 of its pixels are kept as they
  // are.
  const ImageTransform transform({.image_size = 224, .center_crop = 0.875});
  RgbImage image = picture(300, 256);
  const auto out = transform(image);
  CHECK(out.equal(tensor_of(std::move(image)).slice(1, 16, 240).slice(2, 38, 262)));
  // Any other image is that of an evaluation at 256 pixels without its border.
  for (const auto& [width, height] : {std::pair(90, 70), std::pair(300, 500)}) {
    const auto larger = ImageTransform({.image_size = 256})(picture(width, height));
    CHECK(transform(picture(width, height)).equal(larger.slice(1, 16, 240).slice(2, 16, 240)));
  }
  // 20 / 0.75 is 26.7, which is rounded down. 6.5 of 13 rows are cut off above, and ties go to
  // the even side.
  RgbImage narrow = picture(26, 33);
  const auto small = ImageTransform({.image_size = 20, .center_crop = 0.75})(narrow);
  CHECK(small.equal(tensor_of(std::move(narrow)).slice(1, 6, 26).slice(2, 3, 23)));
  CHECK(transform.shrinkage(512, 600, std::nullopt) == 2.0);
  CHECK_THROWS_WITH(ImageTransform({.center_crop = 0.0}), test::contains("center_crop (0)"));
  CHECK_THROWS_WITH(ImageTransform({.center_crop = 1.1}), test::contains("center_crop (1.1)"));
}

TEST_CASE("The longest side fits and the rest is filled", "[data][cpu]") {
  const auto out = ImageTransform(
      {.image_size = 10, .resize_mode = ResizeMode::kLongest, .fill = 9})(picture(20, 11));
  // 11 halves to 5.5, to 6 with ties to even; two rows above and two below.
  CHECK((out.slice(1, 0, 2) == 9).all().item<bool>());
  CHECK((out.slice(1, 8, 10) == 9).all().item<bool>());
  CHECK_FALSE((out.slice(1, 2, 8) == 9).any().item<bool>());
}

TEST_CASE("Squashing keeps all of the image", "[data][cpu]") {
  RgbImage whole;
  Resizer()(picture(40, 10), {0, 0, 40, 10}, 12, 12, {0, 0, 12, 12}, whole);
  const auto out =
      ImageTransform({.image_size = 12, .resize_mode = ResizeMode::kSquash})(picture(40, 10));
  CHECK(out.equal(tensor_of(std::move(whole))));
}

TEST_CASE("Random crops keep the requested fraction of the area and aspect ratio", "[data][cpu]") {
  const ImageTransform transform({.train = true, .crop_scale = {0.3, 0.6}});
  double smallest = 1.0;
  double largest = 0.0;
  RandomStream random(1);
  for (int i = 0; i < 2000; ++i) {
    const PixelBox box = transform.random_crop(300, 200, random);
    REQUIRE((box.left >= 0 && box.top >= 0 && box.left + box.width <= 300 &&
             box.top + box.height <= 200));
    const double share = static_cast<double>(box.width * box.height) / 60'000.0;
    const double ratio = static_cast<double>(box.width) / static_cast<double>(box.height);
    REQUIRE((share > 0.29 && share < 0.61));
    REQUIRE((ratio > 0.74 && ratio < 1.35));
    smallest = std::min(smallest, share);
    largest = std::max(largest, share);
  }
  CHECK(smallest < 0.31);
  CHECK(largest > 0.59);
}

TEST_CASE("An image of an extreme shape is cropped to its middle", "[data][cpu]") {
  const ImageTransform transform({.train = true});
  RandomStream random(1);
  const PixelBox wide = transform.random_crop(1000, 30, random);
  CHECK((wide.width == 40 && wide.height == 30 && wide.left == 480 && wide.top == 0));
  const PixelBox tall = transform.random_crop(30, 1000, random);
  CHECK((tall.width == 30 && tall.height == 40 && tall.left == 0 && tall.top == 480));
}

TEST_CASE("A training image depends only on its random stream", "[data][cpu]") {
  const ImageTransform transform({.image_size = 24,
                                  .train = true,
                                  .crop_scale = {0.2, 1.0},
                                  .horizontal_flip = true,
                                  .color_jitter = {0.4, 0.4, 0.4, 0.1},
                                  .color_jitter_probability = 0.8,
                                  .grayscale_probability = 0.2});
  const RgbImage image = picture(50, 40);
  const auto first = transform(image, RandomStream(1, 2, 3));
  CHECK(transform(image, RandomStream(1, 2, 3)).equal(first));
  CHECK_FALSE(transform(image, RandomStream(1, 3, 3)).equal(first));
  CHECK_FALSE(transform(image, RandomStream(1, 2, 4)).equal(first));
}

TEST_CASE("Half of the images are mirrored and the others are not", "[data][cpu]") {
  const ImageTransform transform({.image_size = 12,
                                  .train = true,
                                  .crop_scale = {1.0, 1.0},
                                  .crop_ratio = {1.0, 1.0},
                                  .horizontal_flip = true});
  RgbImage image = picture(12, 12);
  const auto plain = tensor_of(picture(12, 12));
  int mirrored = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const auto out = transform(image, RandomStream(1, 0, i));
    const bool is_mirrored = out.equal(plain.flip(2));
    REQUIRE((is_mirrored || out.equal(plain)));
    mirrored += is_mirrored;
  }
  CHECK((mirrored > 65 && mirrored < 135));  // 5 standard deviations
}

TEST_CASE("Shifting moves the image by at most the padding and fills with black", "[data][cpu]") {
  const ImageTransform transform({.image_size = 12, .train = true, .shift_padding = 2});
  const auto padded = torch::constant_pad_nd(tensor_of(picture(12, 12)), {2, 2, 2, 2});
  std::set<std::pair<int, int>> seen;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const auto out = transform(picture(12, 12), RandomStream(1, 0, i));
    bool found = false;
    for (int top = 0; top < 5 && !found; ++top)
      for (int left = 0; left < 5 && !found; ++left)
        if (out.equal(padded.slice(1, top, top + 12).slice(2, left, left + 12))) {
          seen.insert({top, left});
          found = true;
        }
    REQUIRE(found);
  }
  CHECK(seen.size() == 25);
}

TEST_CASE("One drawing gives the squares of every size that a stream would give", "[data][cpu]") {
  ImageTransformOptions options{.image_size = 24,
                                .train = true,
                                .crop_scale = {0.2, 1.0},
                                .horizontal_flip = true,
                                .color_jitter = {0.4, 0.4, 0.4, 0.1},
                                .color_jitter_probability = 0.8,
                                .grayscale_probability = 0.2,
                                .solarize_probability = 0.3,
                                .augment = "rand-m9-mstd0.5-inc1",
                                .erasing = {.probability = 0.5, .fill = ErasingFill::kNoise}};
  const ImageTransform first(options);
  options.image_size = 33;
  options.interpolation = Interpolation::kBilinear;
  const ImageTransform second(options);
  const ImageTransform resizes_only({.image_size = 33, .interpolation = Interpolation::kBilinear});
  const RgbImage image = picture(50, 40);
  for (std::uint64_t i = 0; i < 50; ++i) {
    RandomStream random(1, 2, i), same = random;
    const auto drawn = first.draw(50, 40, random);
    ImageTransform::Workspace work, expected;
    resizes_only.apply(image, drawn, work);
    second(image, same, expected);
    REQUIRE(tensor_of(std::move(work.square)).equal(tensor_of(std::move(expected.square))));
    CHECK(random.next() == same.next());  // Both drew as many numbers.
  }
}

TEST_CASE("Decisions are drawn in a fixed order, so old runs can be resumed", "[data][cpu]") {
  ImageTransformOptions options{.image_size = 16,
                                .train = true,
                                .shift_padding = 4,
                                .horizontal_flip = true,
                                .color_jitter = {0.4, 0.0, 0.3, 0.1},
                                .color_jitter_probability = 0.6,
                                .grayscale_probability = 0.3};
  for (std::uint64_t i = 0; i < 100; ++i) {
    RandomStream random(5, 1, i), by_hand = random;
    const auto drawn = ImageTransform(options).draw(30, 20, random);
    REQUIRE(drawn.has_value());
    CHECK_FALSE(drawn->crop.has_value());
    CHECK(drawn->shift_right * 16 == static_cast<double>(by_hand.integer(9) - 4));
    CHECK(drawn->shift_down * 16 == static_cast<double>(by_hand.integer(9) - 4));
    CHECK(drawn->flip == (by_hand.uniform() < 0.5));
    std::vector<std::pair<int, double>> changes;
    if (by_hand.uniform() < 0.6) {
      std::vector<int> order = {0, 1, 2, 3};
      for (const int left : {3, 2, 1})
        std::swap(order[static_cast<std::size_t>(left)],
                  order[static_cast<std::size_t>(by_hand.integer(left + 1))]);
      for (const int kind : order) {
        if (kind == 0) changes.emplace_back(kind, by_hand.uniform(0.6, 1.4));
        if (kind == 2) changes.emplace_back(kind, by_hand.uniform(0.7, 1.3));
        if (kind == 3) changes.emplace_back(kind, by_hand.uniform(-0.1, 0.1));
      }
    }
    REQUIRE(drawn->colors.size() == changes.size());
    for (std::size_t c = 0; c < changes.size(); ++c) {
      CHECK(static_cast<int>(drawn->colors[c].kind) == changes[c].first);
      CHECK(drawn->colors[c].amount == Approx(changes[c].second).epsilon(1e-15));
    }
    CHECK(drawn->grayscale == (by_hand.uniform() < 0.3));
    CHECK(random.next() == by_hand.next());
  }
  options.train = false;
  RandomStream random(5), untouched = random;
  CHECK_FALSE(ImageTransform(options).draw(30, 20, random).has_value());
  CHECK(random.next() == untouched.next());
}

TEST_CASE("A shift is the same fraction of a square of another size", "[data][cpu]") {
  const ImageTransform drawer({.image_size = 12, .train = true, .shift_padding = 2});
  const RgbImage image = picture(36, 36);
  const auto padded = torch::constant_pad_nd(tensor_of(picture(36, 36)), {6, 6, 6, 6});
  for (std::uint64_t i = 0; i < 50; ++i) {
    RandomStream random(1, 0, i), by_hand = random;
    const auto drawn = drawer.draw(36, 36, random);
    const auto left = by_hand.integer(5) - 2, top = by_hand.integer(5) - 2;
    ImageTransform::Workspace work;
    ImageTransform({.image_size = 36}).apply(image, drawn, work);  // Three times the size.
    const auto moved =
        padded.slice(1, 6 - 3 * top, 42 - 3 * top).slice(2, 6 - 3 * left, 42 - 3 * left);
    REQUIRE(tensor_of(std::move(work.square)).equal(moved));
  }
}

TEST_CASE("A simple crop is a square of the resized image or its reflection", "[data][cpu]") {
  // 33 x 20 becomes 16 x 10, with two reflected pixels on each side.
  const ImageTransform transform({.image_size = 10, .train = true, .simple_crop_padding = 2});
  RgbImage whole;
  Resizer()(picture(33, 20), {0, 0, 33, 20}, 16, 10, {0, 0, 16, 10}, whole);
  const auto padded =
      torch::reflection_pad2d(tensor_of(std::move(whole)).to(torch::kFloat), {2, 2, 2, 2})
          .to(torch::kByte);
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  for (std::uint64_t i = 0; i < 600; ++i) {
    RandomStream random(1, 0, i), by_hand = random;
    const auto drawn = transform.draw(33, 20, random);
    const auto top = by_hand.integer(5), left = by_hand.integer(11);
    seen.insert({top, left});
    ImageTransform::Workspace work;
    transform.apply(picture(33, 20), drawn, work);
    REQUIRE(tensor_of(std::move(work.square))
                .equal(padded.slice(1, top, top + 10).slice(2, left, left + 10)));
  }
  CHECK(seen.size() == 55);
}

TEST_CASE("What is new draws only if it is on, after all else", "[data][cpu]") {
  ImageTransformOptions options{.image_size = 20,
                                .train = true,
                                .shift_padding = 4,
                                .color_jitter = {0.4, 0.4, 0.4, 0.1},
                                .color_jitter_probability = 0.5,
                                .grayscale_probability = 0.3};
  const ImageTransform before(options);
  options.augment = "3a";
  options.blur_probability = 0.4;
  options.solarize_probability = 0.3;
  options.solarize_threshold = 99;
  options.erasing.probability = 0.5;
  const ImageTransform after(options);
  int blurred = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    RandomStream random(5, 1, i), by_hand = random;
    const auto drawn = after.draw(30, 20, random);
    const auto old = before.draw(30, 20, by_hand);
    CHECK(drawn->shift_right == old->shift_right);
    CHECK(drawn->colors.size() == old->colors.size());
    CHECK(drawn->grayscale == old->grayscale);
    CHECK((old->operations.empty() && old->blur == 0.0 && !old->solarize_threshold &&
           old->erased.empty()));
    const auto operations = AugmentPolicy("3a").draw(20, by_hand);
    REQUIRE(drawn->operations.size() == 1);
    CHECK(drawn->operations[0].kind == operations[0].kind);
    CHECK(drawn->operations[0].argument == operations[0].argument);
    CHECK(drawn->operation_fill == std::array<std::uint8_t, 3>{123, 117, 104});
    if (by_hand.uniform() < 0.4) {
      CHECK(drawn->blur == by_hand.uniform(0.1, 2.0) / 20);
      ++blurred;
    } else {
      CHECK(drawn->blur == 0.0);
    }
    CHECK(drawn->solarize_threshold.value_or(0) == (by_hand.uniform() < 0.3 ? 99 : 0));
    const auto erased = options.erasing.draw(options.image_mean, options.image_std, by_hand);
    REQUIRE(drawn->erased.size() == erased.size());
    for (std::size_t b = 0; b < erased.size(); ++b) CHECK(drawn->erased[b].top == erased[b].top);
    CHECK(random.next() == by_hand.next());
  }
  CHECK((blurred > 45 && blurred < 115));  // 5 sigma around 80
}

TEST_CASE("Augmentations are applied in the order of timm", "[data][cpu]") {
  Augmentation drawn{.flip = true,
                     .operations = {{ImageOperation::Kind::kRotate, 20.0},
                                    {ImageOperation::Kind::kPosterize, 3.0}},
                     .operation_fill = {9, 8, 7},
                     .colors = {{ColorChange::Kind::kBrightness, 1.3}},
                     .grayscale = true,
                     .blur = 0.05,
                     .solarize_threshold = 100,
                     .erased = {{.width = 0.3, .height = 0.4, .left = 0.5, .top = 0.2}}};
  ImageTransform::Workspace work;
  ImageTransform({.image_size = 20}).apply(picture(20, 20), drawn, work);
  RgbImage expected(20, 20);
  const RgbImage source = picture(20, 20);
  for (std::int64_t y = 0; y < 20; ++y)
    for (std::int64_t x = 0; x < 20; ++x)
      std::copy_n(source.row(y) + (19 - x) * 3, 3, expected.row(y) + x * 3);
  move_pixels(expected, AffineMap::rotation(20.0, 20, 20), Interpolation::kBicubic, {9, 8, 7});
  posterize(expected, 3);
  adjust_brightness(expected, 1.3);
  to_grayscale(expected);
  gaussian_blur(expected, 1.0);
  solarize(expected, 100);
  erase_box(expected, drawn.erased[0]);
  CHECK(tensor_of(std::move(work.square)).equal(tensor_of(std::move(expected))));
}

TEST_CASE("Options for evaluation keep size and resizing, and nothing is random", "[data][cpu]") {
  const ImageTransformOptions training{
      .image_size = 12, .train = true, .resize_mode = ResizeMode::kSquash, .horizontal_flip = true};
  const ImageTransformOptions options = training.for_evaluation();
  CHECK(training.train);
  CHECK_FALSE(options.train);
  CHECK(options.resize_mode == ResizeMode::kSquash);
  const ImageTransform transform(options);
  const auto image = picture(30, 20);
  CHECK(transform(image, RandomStream(1)).equal(transform(image, RandomStream(2))));
}

TEST_CASE("A transform reads no pixels outside of the part that it needs", "[image][cpu]") {
  const bool train = GENERATE(false, true);
  const auto mode = GENERATE(ResizeMode::kShortest, ResizeMode::kLongest, ResizeMode::kSquash);
  const auto interpolation = GENERATE(Interpolation::kBicubic, Interpolation::kBilinear);
  const auto [width, height] =
      GENERATE(std::pair{90, 40}, std::pair{31, 77}, std::pair{12, 50}, std::pair{20, 20});
  const ImageTransform transform({.image_size = 20,
                                  .train = train,
                                  .interpolation = interpolation,
                                  .resize_mode = mode,
                                  .crop_scale = {0.2, 1.0}});
  ImageTransform::Workspace work;
  const auto square_of = [&](const RgbImage& image, const auto& drawn) {
    transform.apply(image, drawn, work);
    return std::vector<std::uint8_t>(work.square.data(), work.square.data() + work.square.bytes());
  };
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    RandomStream random(seed);
    RgbImage image = picture(width, height);
    const auto drawn = transform.draw(width, height, random);
    const auto expected = square_of(image, drawn);
    const PixelBox box = transform.needed_box(width, height, drawn);
    REQUIRE((box.left >= 0 && box.top >= 0 && box.width > 0 && box.height > 0));
    REQUIRE((box.left + box.width <= width && box.top + box.height <= height));
    if (!train && mode == ResizeMode::kShortest && width != height)
      CHECK(box.width * box.height < width * height);
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        if (x < box.left || x >= box.left + box.width || y < box.top || y >= box.top + box.height)
          std::fill_n(image.row(y) + x * 3, 3, std::uint8_t{255});
    REQUIRE(square_of(image, drawn) == expected);
  }
}

TEST_CASE("The shrinkage is that of the side that shrinks less", "[image][cpu]") {
  const auto shrinkage = [](ResizeMode mode) {
    return ImageTransform({.image_size = 20, .resize_mode = mode}).shrinkage(60, 40, std::nullopt);
  };
  CHECK(shrinkage(ResizeMode::kSquash) == 2.0);
  CHECK(shrinkage(ResizeMode::kShortest) == 2.0);
  CHECK(shrinkage(ResizeMode::kLongest) == 3.0);
  const ImageTransform transform({.image_size = 20, .train = true});
  CHECK(transform.shrinkage(60, 40, Augmentation{.crop = PixelBox{0, 0, 10, 30}}) == 0.5);
  CHECK(transform.shrinkage(60, 40, Augmentation{}) == 2.0);
}

TEST_CASE("Invalid options raise with their values", "[data][cpu]") {
  CHECK_THROWS_WITH(ImageTransform({.image_size = 0}),
                    test::contains("image_size (0) must be positive"));
  CHECK_THROWS_WITH(ImageTransform({.crop_scale = {0.9, 0.5}}),
                    test::contains("crop_scale (0.9, 0.5)"));
  CHECK_THROWS_WITH(ImageTransform({.color_jitter = {0, 0, 0, 0.7}}), test::contains("hue"));
  CHECK_THROWS_WITH(ImageTransform({.image_size = 32, .shift_padding = 32}),
                    test::contains("shift_padding (32) must be below image_size (32)"));
  CHECK_THROWS_WITH(ImageTransform({.shift_padding = 2, .simple_crop_padding = 4}),
                    test::contains("exclude each other"));
  CHECK_THROWS_WITH(ImageTransform({.image_size = 8, .simple_crop_padding = 8}),
                    test::contains("simple_crop_padding (8)"));
  CHECK_THROWS_WITH(ImageTransform({.blur_probability = -1}),
                    test::contains("blur_probability (-1) must be from 0 to 1"));
  CHECK_THROWS_WITH(ImageTransform({.blur_radius = {2, 1}}), test::contains("blur_radius (2, 1)"));
  CHECK_THROWS_WITH(ImageTransform({.solarize_probability = 2}),
                    test::contains("solarize_probability (2)"));
  CHECK_THROWS_WITH(ImageTransform({.solarize_threshold = 257}), test::contains("(257)"));
  CHECK_THROWS_WITH(ImageTransform({.augment = "rand-q1"}), test::contains("part 'q1'"));
  CHECK_THROWS_WITH(ImageTransform({.erasing = {.probability = 2}}), test::contains("probability"));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/augment_policy.hpp"

#include <map>

#include "contrapunto/image/apply_operation.hpp"
#include "data/contains.hpp"
#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Kind = ImageOperation::Kind;

namespace {

std::map<Kind, std::vector<double>> arguments_of(const std::string& name, int draws,
                                                 std::int64_t image_size = 1) {
  const AugmentPolicy policy(name);
  RandomStream random(9);
  std::map<Kind, std::vector<double>> arguments;
  for (int i = 0; i < draws; ++i)
    for (const auto& operation : policy.draw(image_size, random))
      arguments[operation.kind].push_back(operation.argument);
  return arguments;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("3-Augment is gray, solarized or blurred, each for a third", "[image][cpu]") {
  const auto drawn = arguments_of("3a", 9'000, 100);
  CHECK(drawn.size() == 3);
  for (const Kind kind : {Kind::kColor, Kind::kSolarize, Kind::kBlur})
    CHECK(std::abs(static_cast<int>(drawn.at(kind).size()) - 3'000) < 224);  // 5 sigma
  CHECK(drawn.at(Kind::kColor) == std::vector<double>(drawn.at(Kind::kColor).size(), 0.0));
  CHECK(drawn.at(Kind::kSolarize) == std::vector<double>(drawn.at(Kind::kSolarize).size(), 128.0));
  const auto& radius = drawn.at(Kind::kBlur);  // 0.1 to 2 pixels of 100
  CHECK(*std::min_element(radius.begin(), radius.end()) == Approx(0.001).margin(0.0002));
  CHECK(*std::max_element(radius.begin(), radius.end()) == Approx(0.02).margin(0.0002));
  CHECK(mean_of(radius) == Approx(0.0105).margin(0.0006));
}

TEST_CASE("A saturation of zero is the grayscale of 3-Augment", "[image][cpu]") {
  CHECK(test::changed_noise(9, 9, [](RgbImage& image) {
          apply_operation(image, {Kind::kColor, 0.0}, Interpolation::kBicubic, {});
        }) == test::changed_noise(9, 9, [](RgbImage& image) { to_grayscale(image); }));
}

TEST_CASE("RandAugment draws every operation equally often with its magnitude", "[image][cpu]") {
  const auto drawn = arguments_of("rand-m9-n3-inc1", 20'000);
  CHECK(drawn.size() == 15);
  // 3 layers with probability 1/2, 15 operations: 2,000 of each.
  for (const auto& [kind, arguments] : drawn) {
    INFO(static_cast<int>(kind));
    CHECK(std::abs(static_cast<int>(arguments.size()) - 2'000) < 224);
  }
  // By hand, at magnitude 9: some are fixed, and the others have either sign.
  const std::map<Kind, std::vector<double>> expected = {
      {Kind::kAutoContrast, {0}},
      {Kind::kEqualize, {0}},
      {Kind::kInvert, {0}},
      {Kind::kRotate, {-27, 27}},
      {Kind::kPosterize, {1}},       // 4 - int(3.6)
      {Kind::kSolarize, {26}},       // 256 - int(230.4)
      {Kind::kSolarizeAdd, {99}},    // 0.9 * 110
      {Kind::kColor, {0.19, 1.81}},  // 1 +- 0.81
      {Kind::kContrast, {0.19, 1.81}},
      {Kind::kBrightness, {0.19, 1.81}},
      {Kind::kSharpness, {0.19, 1.81}},
      {Kind::kShearX, {-0.27, 0.27}},
      {Kind::kShearY, {-0.27, 0.27}},
      {Kind::kTranslateX, {-0.405, 0.405}},
      {Kind::kTranslateY, {-0.405, 0.405}}};
  for (const auto& [kind, values] : expected) {
    INFO(static_cast<int>(kind));
    std::array<int, 2> seen{};
    for (const double argument : drawn.at(kind)) {
      const bool is_first = argument == Approx(values.front()).epsilon(1e-12);
      REQUIRE((is_first || argument == Approx(values.back()).epsilon(1e-12)));
      ++seen[is_first ? 0 : 1];
    }
    if (values.size() == 2) CHECK(std::abs(seen[0] - seen[1]) < 236);  // 5 sigma of 2,224
  }
  // Without inc: the change shrinks with the magnitude for some.
  const auto plain = arguments_of("rand-m9", 2'000);
  CHECK(plain.at(Kind::kPosterize).front() == 3);
  CHECK(plain.at(Kind::kSolarize).front() == 230);
  CHECK(plain.at(Kind::kColor).front() == Approx(1.72));
}

TEST_CASE("The parts of a RandAugment change what is drawn", "[image][cpu]") {
  const auto count = [](const std::string& name) {
    std::size_t all = 0;
    for (const auto& [kind, arguments] : arguments_of(name, 1'000)) all += arguments.size();
    return all;
  };
  CHECK(count("rand-p1") == 2'000);
  CHECK(count("rand-n4-p1.0") == 4'000);
  CHECK(count("rand-p0") == 0);
  CHECK(std::abs(static_cast<int>(count("rand-p0.25-n4")) - 1'000) < 138);

  // The magnitude is normal and limited to 0 ... 10, or to mmax.
  const auto degrees = [](const std::string& name) {
    auto values = arguments_of(name, 30'000).at(Kind::kRotate);
    for (double& value : values) value = std::abs(value) / 3;  // magnitude
    return values;
  };
  const auto narrow = degrees("rand-m5-mstd0.5-p1");  // about 4,000
  CHECK(mean_of(narrow) == Approx(5.0).margin(0.05));
  auto squares = narrow;
  for (double& value : squares) value = (value - 5.0) * (value - 5.0);
  CHECK(mean_of(squares) == Approx(0.25).margin(0.03));
  const auto limited = degrees("rand-m9-mstd0.5-p1");
  const auto at_limit = static_cast<double>(std::count(limited.begin(), limited.end(), 10.0));
  CHECK(at_limit / static_cast<double>(limited.size()) == Approx(0.0228).margin(0.012));
  const auto wider = degrees("rand-m9-mmax12-mstd0.5-p1");
  CHECK(*std::max_element(wider.begin(), wider.end()) > 10.3);
  const auto uniform = degrees("rand-m8-mstd101-p1");
  CHECK(mean_of(uniform) == Approx(4.0).margin(0.19));
  CHECK(*std::max_element(uniform.begin(), uniform.end()) == Approx(8.0).margin(0.05));
  const auto high = degrees("rand-m12-p1");
  CHECK(high == std::vector<double>(high.size(), 10.0));
}

TEST_CASE("Sets with weights draw no operation twice", "[image][cpu]") {
  const AugmentPolicy policy("rand-n2-p1-tweights");
  RandomStream random(2);
  std::map<Kind, int> first;
  for (int i = 0; i < 10'000; ++i) {
    const auto drawn = policy.draw(1, random);
    REQUIRE(drawn.size() == 2);
    REQUIRE(drawn[0].kind != drawn[1].kind);
    ++first[drawn[0].kind];
  }
  constexpr double kSum = 3 + 4 + 2 + 0.75 + 0.35;
  CHECK(std::abs(first[Kind::kRotate] - 10'000 * 3 / kSum) < 230);
  CHECK(std::abs(first[Kind::kShearX] - 10'000 * 2 / kSum) < 200);
  CHECK(std::abs(first[Kind::kAutoContrast] - 10'000 * 0.25 / kSum) < 78);
  CHECK(std::abs(first[Kind::kInvert] - 10'000 * 0.05 / kSum) < 36);
  CHECK(arguments_of("rand-t3a", 1'000).size() == 3);
  // All of a set, once each: gray and the change of saturation are of one kind.
  CHECK(arguments_of("rand-t3aw-n14-p1", 1).size() == 13);
}

TEST_CASE("An unknown augmentation raises with its wrong part", "[image][cpu]") {
  const auto message = [](const std::string& name) {
    try {
      const AugmentPolicy policy(name);
    } catch (const c10::Error& error) {
      return std::string(error.what_without_backtrace());
    }
    return std::string("no error");
  };
  using test::contains;
  CHECK_THAT(message("augmix-m3"), contains("augment 'augmix-m3' is unknown; known are '3a'"));
  CHECK_THAT(message(""), contains("is unknown"));
  CHECK_THAT(message("3a-m9"), contains("is unknown"));
  CHECK_THAT(message("rand-m9-x3"), contains("part 'x3' is unknown; the parts"));
  CHECK_THAT(message("rand--m9"), contains("part '' is unknown"));
  CHECK_THAT(message("rand-mstdinf"), contains("part 'mstdinf' is unknown"));
  CHECK_THAT(message("rand-m"), contains("'' in 'm' is not an integer"));
  CHECK_THAT(message("rand-m9.5"), contains("'9.5' in 'm9.5' is not an integer"));
  CHECK_THAT(message("rand-p1.5"), contains("1.5 in 'p1.5' must be from 0 to 1"));
  CHECK_THAT(message("rand-n0"), contains("0 in 'n0' must be from 1"));
  CHECK_THAT(message("rand-inc2"), contains("2 in 'inc2' must be from 0 to 1"));
  CHECK_THAT(message("rand-m9-m5"), contains("more than one part 'm'"));
  CHECK_THAT(message("rand-tbest"), contains("'tbest' is unknown; known are tweights, t3a"));
  CHECK_THAT(message("rand-tweights-n16"), contains("n16 is more than the 15 operations"));
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/equal_shards.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/text/fill_prompt.hpp"

namespace contrapunto {

struct SyntheticShapesOptions {
  std::int64_t samples = 6000;   ///< Number of images in the set, spread over all classes.
  std::int64_t image_size = 64;  ///< Side of the square images in pixels.
  std::uint64_t seed = 0;  ///< Different seeds give different sets, such as one to train and one to
                           ///< test.
  double noise = 12.0;     ///< Largest change of a channel by noise, in gray levels.
};

/// Captioned pictures of one colored shape at a random position and size on gray. 6 colors times 5
/// shapes give 30 classes. It needs no files and no codec, and a small pair of towers learns it in
/// a minute, so that every example can run at once. A picture is a pure function of (seed, index).
class SyntheticShapes : public SampleSource {
 public:
  /// Raises if `samples` is not positive or if `image_size` is below 8.
  explicit SyntheticShapes(SyntheticShapesOptions options = {}) : o_(options) {
    TORCH_CHECK(o_.samples > 0, "SyntheticShapes: samples (", o_.samples, ") must be positive");
    TORCH_CHECK(o_.image_size >= 8, "SyntheticShapes: image_size (", o_.image_size,
                ") must be at least 8 pixels");
  }

  [[nodiscard]] std::int64_t size() const override { return o_.samples; }

  /// Names such as "red circle", in the order of the labels.
  [[nodiscard]] std::vector<std::string> class_names() const override {
    std::vector<std::string> names;
    for (const auto& color : kColors)
      for (const char* shape : kShapes) names.push_back(std::string(color.name) + " " + shape);
    return names;
  }

  /// Returns a sample whose image is encoded as PPM. It has four captions: two plain ones, one that
  /// mentions the size and one that mentions the position.
  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "SyntheticShapes: sample ", index, " of ",
                      size());
    const auto label = label_of(index);
    RandomStream random(o_.seed, 0, static_cast<std::uint64_t>(index));
    Picture picture;
    picture.color = label / kShapes.size();
    picture.shape = label % kShapes.size();
    const double side = static_cast<double>(o_.image_size);
    picture.radius = side * random.uniform(0.16, 0.34);
    picture.x = random.uniform(picture.radius, side - picture.radius);
    picture.y = random.uniform(picture.radius, side - picture.radius);
    picture.background = random.uniform(20.0, 110.0);

    EncodedSample sample;
    sample.key = "shape-" + std::to_string(index);
    sample.source = "synthetic";
    sample.image = encode_ppm(render(picture, random));
    sample.captions = captions(picture, random);
    sample.label = static_cast<std::int64_t>(label);
    return sample;
  }

  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    return static_cast<std::int64_t>(label_of(index));
  }

  /// The checksum is that of the options of a picture and of the indices.
  [[nodiscard]] std::vector<DataShard> shards() const override {
    return detail::equal_shards("synthetic", size(), [&](std::int64_t begin, std::int64_t end) {
      const std::array<std::uint64_t, 5> identity = {
          o_.seed, static_cast<std::uint64_t>(o_.image_size),
          std::bit_cast<std::uint64_t>(o_.noise), static_cast<std::uint64_t>(begin),
          static_cast<std::uint64_t>(end)};
      return checksum_of({reinterpret_cast<const char*>(identity.data()), sizeof(identity)});
    });
  }

 private:
  static std::size_t label_of(std::int64_t index) {
    return static_cast<std::size_t>(index) % (kColors.size() * kShapes.size());
  }

  struct Color {
    const char* name;
    std::array<double, 3> rgb;
  };
  static constexpr std::array<Color, 6> kColors = {{{"red", {220, 40, 40}},
                                                    {"green", {40, 180, 60}},
                                                    {"blue", {50, 80, 230}},
                                                    {"yellow", {240, 220, 40}},
                                                    {"purple", {160, 50, 200}},
                                                    {"white", {245, 245, 245}}}};
  static constexpr std::array<const char*, 5> kShapes = {"circle", "square", "triangle", "cross",
                                                         "ring"};
  struct Picture {
    std::size_t color = 0;
    std::size_t shape = 0;
    double x = 0.0;  // Center, in pixels.
    double y = 0.0;
    double radius = 0.0;
    double background = 0.0;  // Gray level.
  };

  /// Returns whether (u, v) lies in the shape. Both run from -1 to 1 across it, and v points down.
  static bool inside(std::size_t shape, double u, double v) {
    const double distance = u * u + v * v;
    const double larger = std::max(std::abs(u), std::abs(v));
    const double smaller = std::min(std::abs(u), std::abs(v));
    switch (shape) {
      case 0:
        return distance <= 1.0;
      case 1:
        return larger <= 0.85;
      case 2:
        return v <= 0.75 && std::abs(u) <= (v + 1.0) / 1.75;
      case 3:
        return larger <= 1.0 && smaller <= 0.3;
      default:
        return distance <= 1.0 && distance >= 0.36;
    }
  }

  [[nodiscard]] RgbImage render(const Picture& picture, RandomStream& random) const {
    RgbImage image(o_.image_size, o_.image_size);
    for (std::int64_t y = 0; y < o_.image_size; ++y) {
      std::uint8_t* pixel = image.row(y);
      for (std::int64_t x = 0; x < o_.image_size; ++x, pixel += 3) {
        double covered = 0.0;  // Fraction of four points inside, for antialiasing.
        for (const double dy : {0.25, 0.75})
          for (const double dx : {0.25, 0.75})
            covered += 0.25 * inside(picture.shape,
                                     (static_cast<double>(x) + dx - picture.x) / picture.radius,
                                     (static_cast<double>(y) + dy - picture.y) / picture.radius);
        const std::uint32_t bits = random.next();
        for (std::size_t c = 0; c < 3; ++c) {
          const double grain = static_cast<double>((bits >> (8 * c)) & 0xFF) / 127.5 - 1.0;
          const double plain =
              picture.background + covered * (kColors[picture.color].rgb[c] - picture.background);
          pixel[c] = static_cast<std::uint8_t>(std::clamp(plain + o_.noise * grain, 0.0, 255.0));
        }
      }
    }
    return image;
  }

  [[nodiscard]] std::vector<std::string> captions(const Picture& picture,
                                                  RandomStream& random) const {
    const std::string name =
        std::string(kColors[picture.color].name) + " " + kShapes[picture.shape];
    const std::array<const char*, 4> plain = {"a {} on a grey background.", "a picture of one {}.",
                                              "a drawing of a {}.", "there is a {} here."};
    const double side = static_cast<double>(o_.image_size);
    const char* const size = picture.radius > 0.25 * side ? "large" : "small";
    const double right = picture.x / side - 0.5;
    const double down = picture.y / side - 0.5;
    const char* place = "in the middle";
    if (std::max(std::abs(right), std::abs(down)) > 0.12) {
      if (std::abs(right) > std::abs(down))
        place = right > 0.0 ? "on the right" : "on the left";
      else
        place = down > 0.0 ? "at the bottom" : "at the top";
    }
    return {fill_prompt("a photo of a {}.", name),
            fill_prompt(plain[static_cast<std::size_t>(random.integer(4))], name),
            std::string("a ") + size + " " + name + ".",
            "a " + name + " " + place + " of the picture."};
  }

  SyntheticShapesOptions o_;
};

}  // namespace contrapunto

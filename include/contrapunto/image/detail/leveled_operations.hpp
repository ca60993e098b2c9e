// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "contrapunto/image/image_operation.hpp"

/// The operations of timm's RandAugment by their names there, and what a magnitude means to each.
namespace contrapunto::detail {

struct LeveledOperation {
  using Kind = ImageOperation::Kind;

  std::string_view name;
  Kind kind = Kind::kAutoContrast;
  /// Argument for a tenth of the magnitude, and for a sign of 1 or -1 if `has_sign`. That of kBlur
  /// is in pixels.
  double (*argument)(double level, double sign) = nullptr;
  bool has_sign = false;

  static double none(double, double) { return 0.0; }
  static double factor(double level, double) { return level * 1.8 + 0.1; }
  /// Of the names with Increasing: the change of the image grows with the level.
  static double growing_factor(double level, double sign) {
    return std::max(0.1, 1.0 + sign * (level * 0.9));
  }
  static double bits(double level, double) { return std::trunc(level * 4); }
  static double threshold(double level, double) { return std::min(256.0, std::trunc(level * 256)); }
  static double shear(double level, double sign) { return sign * (level * 0.3); }
  static double shift(double level, double sign) { return sign * (level * 0.45); }
};

using LeveledOperations = std::array<LeveledOperation, 23>;

inline const LeveledOperations& leveled_operations() {
  using Kind = ImageOperation::Kind;
  using L = LeveledOperation;
  static const LeveledOperations all = {{
      {"AutoContrast", Kind::kAutoContrast, L::none},
      {"Equalize", Kind::kEqualize, L::none},
      {"Invert", Kind::kInvert, L::none},
      {"Rotate", Kind::kRotate, [](double level, double sign) { return sign * (level * 30); },
       true},
      {"Posterize", Kind::kPosterize, L::bits},
      {"PosterizeIncreasing", Kind::kPosterize,
       [](double level, double sign) { return 4 - L::bits(level, sign); }},
      {"Solarize", Kind::kSolarize, L::threshold},
      {"SolarizeIncreasing", Kind::kSolarize,
       [](double level, double sign) { return 256 - L::threshold(level, sign); }},
      {"SolarizeAdd", Kind::kSolarizeAdd,
       [](double level, double) { return std::min(128.0, std::trunc(level * 110)); }},
      {"Color", Kind::kColor, L::factor},
      {"ColorIncreasing", Kind::kColor, L::growing_factor, true},
      {"Contrast", Kind::kContrast, L::factor},
      {"ContrastIncreasing", Kind::kContrast, L::growing_factor, true},
      {"Brightness", Kind::kBrightness, L::factor},
      {"BrightnessIncreasing", Kind::kBrightness, L::growing_factor, true},
      {"Sharpness", Kind::kSharpness, L::factor},
      {"SharpnessIncreasing", Kind::kSharpness, L::growing_factor, true},
      {"ShearX", Kind::kShearX, L::shear, true},
      {"ShearY", Kind::kShearY, L::shear, true},
      {"TranslateXRel", Kind::kTranslateX, L::shift, true},
      {"TranslateYRel", Kind::kTranslateY, L::shift, true},
      {"Desaturate", Kind::kColor,
       [](double level, double) { return 0.5 - 0.5 * std::clamp(level, 0.0, 1.0); }},
      {"GaussianBlur", Kind::kBlur,
       [](double level, double) { return 0.1 + 1.9 * std::clamp(level, 0.0, 1.0); }},
  }};
  return all;
}

/// An operation of a set, with its relative frequency.
struct WeightedName {
  std::string_view name;
  double weight = 1.0;
};

/// Returns timm's set of operations `name`: the empty name is the usual set. The sets "weights" and
/// "3aw" have weights, and no operation is drawn twice for an image. Returns nothing for another
/// name.
inline std::vector<WeightedName> operation_set(std::string_view name, bool increasing) {
  if (name == "3a") return {{"SolarizeIncreasing"}, {"Desaturate"}, {"GaussianBlur"}};
  if (name == "3aw")
    return {{"SolarizeIncreasing", 6},
            {"Desaturate", 6},
            {"GaussianBlur", 6},
            {"Rotate", 3},
            {"ShearX", 2},
            {"ShearY", 2},
            {"PosterizeIncreasing"},
            {"AutoContrast"},
            {"ColorIncreasing"},
            {"SharpnessIncreasing"},
            {"ContrastIncreasing"},
            {"BrightnessIncreasing"},
            {"Equalize"},
            {"Invert"}};
  if (name == "weights")
    return {{"Rotate", 3},
            {"ShearX", 2},
            {"ShearY", 2},
            {"TranslateXRel", 1},
            {"TranslateYRel", 1},
            {"ColorIncreasing", 0.25},
            {"SharpnessIncreasing", 0.25},
            {"AutoContrast", 0.25},
            {"SolarizeIncreasing", 0.05},
            {"SolarizeAdd", 0.05},
            {"ContrastIncreasing", 0.05},
            {"BrightnessIncreasing", 0.05},
            {"Equalize", 0.05},
            {"PosterizeIncreasing", 0.05},
            {"Invert", 0.05}};
  if (!name.empty()) return {};
  if (increasing)
    return {{"AutoContrast"},
            {"Equalize"},
            {"Invert"},
            {"Rotate"},
            {"PosterizeIncreasing"},
            {"SolarizeIncreasing"},
            {"SolarizeAdd"},
            {"ColorIncreasing"},
            {"ContrastIncreasing"},
            {"BrightnessIncreasing"},
            {"SharpnessIncreasing"},
            {"ShearX"},
            {"ShearY"},
            {"TranslateXRel"},
            {"TranslateYRel"}};
  return {{"AutoContrast"}, {"Equalize"},    {"Invert"}, {"Rotate"},        {"Posterize"},
          {"Solarize"},     {"SolarizeAdd"}, {"Color"},  {"Contrast"},      {"Brightness"},
          {"Sharpness"},    {"ShearX"},      {"ShearY"}, {"TranslateXRel"}, {"TranslateYRel"}};
}

}  // namespace contrapunto::detail

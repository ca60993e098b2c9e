// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "contrapunto/core/random.hpp"
#include "contrapunto/image/detail/leveled_operations.hpp"
#include "contrapunto/image/image_operation.hpp"

namespace contrapunto {

/// Draws the operations of an automatic augmentation that is named as in timm:
///
/// - "3a": 3-Augment, one of grayscale, solarization from level 128 on and a blur with a radius of
///   0.1 to 2 pixels, each for a third of the images. DeiT III adds a color jitter of 0.3.
/// - "rand-m9-mstd0.5-inc1" and the like: RandAugment. `m` is the magnitude (10), `n` the number of
///   operations (2), `p` the probability of each of them (0.5), `mstd` the standard deviation of
///   the magnitude (0; above 100, the magnitude is uniform from 0 to m), `mmax` the largest
///   magnitude (10), `inc1` takes the forms of the operations that change the image more at a
///   larger magnitude, and `tweights`, `t3a` and `t3aw` are other sets of operations. The parts may
///   come in any order.
///
/// The distribution is that of timm; the random numbers are not. A part that is unknown raises,
/// while timm ignores some of these.
/// References: Cubuk et al. 2019, https://arxiv.org/abs/1909.13719; Touvron et al. 2022,
/// https://arxiv.org/abs/2204.07118
class AugmentPolicy {
 public:
  /// Raises for a name that is not known, with its wrong part.
  explicit AugmentPolicy(const std::string& name) : name_(name) {
    const std::vector<std::string> parts = split(name);
    if (name == "3a") {
      is_three_augment_ = true;
      return;
    }
    TORCH_CHECK(parts[0] == "rand", "augment '", name,
                "' is unknown; known are '3a' and RandAugment, such as 'rand-m9-mstd0.5-inc1'");
    std::set<std::string> seen;
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const std::string key = read_part(parts[i]);
      TORCH_CHECK(seen.insert(key).second, "augment '", name, "' has more than one part '", key,
                  "'");
    }
    choose_operations();
  }

  /// Draws the operations of one image. `image_size` is the side in pixels of the square that a
  /// blur in pixels refers to.
  [[nodiscard]] std::vector<ImageOperation> draw(std::int64_t image_size,
                                                 RandomStream& random) const {
    std::vector<ImageOperation> drawn;
    if (is_three_augment_) {
      drawn.push_back(draw_three_augment(random));
    } else {
      std::vector<double> weights = weights_;
      for (std::int64_t layer = 0; layer < layers_; ++layer) {
        const auto& operation = *operations_[choose(weights, random)];
        if (probability_ < 1.0 && random.uniform() >= probability_) continue;
        const double level = draw_magnitude(random) / 10.0;
        const double sign = operation.has_sign && random.uniform() < 0.5 ? -1.0 : 1.0;
        drawn.push_back({operation.kind, operation.argument(level, sign)});
      }
    }
    for (ImageOperation& operation : drawn)
      if (operation.kind == ImageOperation::Kind::kBlur)
        operation.argument /= static_cast<double>(image_size);
    return drawn;
  }

 private:
  [[nodiscard]] static std::vector<std::string> split(const std::string& name) {
    std::vector<std::string> parts = {""};
    for (const char letter : name)
      if (letter == '-')
        parts.emplace_back();
      else
        parts.back() += letter;
    return parts;
  }

  /// Sets what `part` says and returns its key.
  std::string read_part(const std::string& part) {
    if (part.rfind('t', 0) == 0) {
      set_ = part.substr(1);
      TORCH_CHECK(!set_.empty() && !detail::operation_set(set_, increasing_).empty(), "augment '",
                  name_, "': set of operations '", part,
                  "' is unknown; known are tweights, t3a and t3aw");
      return "t";
    }
    const auto digits = std::min(part.find_first_of("0123456789"), part.size());
    const std::string key = part.substr(0, digits);
    const std::string value = part.substr(digits);
    if (key == "m") {
      magnitude_ = number<std::int64_t>(part, value, 0, 1000);
    } else if (key == "n") {
      layers_ = number<std::int64_t>(part, value, 1, 1000);
    } else if (key == "p") {
      probability_ = number<double>(part, value, 0.0, 1.0);
    } else if (key == "mstd") {
      deviation_ = number<double>(part, value, 0.0, std::numeric_limits<double>::max());
    } else if (key == "mmax") {
      const auto most = number<std::int64_t>(part, value, 0, 1000);
      if (most > 0) largest_magnitude_ = most;  // as in timm, where 0 is the default
    } else if (key == "inc") {
      increasing_ = number<std::int64_t>(part, value, 0, 1) == 1;
    } else {
      TORCH_CHECK(false, "augment '", name_, "': part '", part,
                  "' is unknown; the parts of RandAugment are m, n, p, mstd, mmax and inc with a "
                  "number, and t with the name of a set");
    }
    return key;
  }

  template <class Number>
  [[nodiscard]] Number number(const std::string& part, const std::string& digits, Number least,
                              Number most) const {
    Number value{};
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    TORCH_CHECK(error == std::errc{} && stop == end, "augment '", name_, "': '", digits, "' in '",
                part, "' is not ", std::is_integral_v<Number> ? "an integer" : "a number");
    TORCH_CHECK(least <= value && value <= most, "augment '", name_, "': ", value, " in '", part,
                "' must be from ", least, " to ", most);
    return value;
  }

  void choose_operations() {
    const auto& all = detail::leveled_operations();
    const auto chosen = detail::operation_set(set_, increasing_);
    const bool is_weighted = set_ == "weights" || set_ == "3aw";
    for (const auto& [name, weight] : chosen) {
      const auto found = std::find_if(
          all.begin(), all.end(), [&, wanted = name](const auto& o) { return o.name == wanted; });
      TORCH_INTERNAL_ASSERT(found != all.end());
      operations_.push_back(&*found);
      if (is_weighted) weights_.push_back(weight);
    }
    TORCH_CHECK(!is_weighted || layers_ <= static_cast<std::int64_t>(operations_.size()),
                "augment '", name_, "': n", layers_, " is more than the ", operations_.size(),
                " operations of t", set_, ", of which none is drawn twice");
  }

  /// Returns the index of an operation. With weights, its weight becomes 0, so that it is not drawn
  /// again.
  [[nodiscard]] std::size_t choose(std::vector<double>& weights, RandomStream& random) const {
    if (weights.empty())
      return static_cast<std::size_t>(
          random.integer(static_cast<std::int64_t>(operations_.size())));
    double total = 0.0;
    for (const double weight : weights) total += weight;
    double left = random.uniform() * total;
    std::size_t chosen = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] == 0.0) continue;
      chosen = i;  // Rounding may leave a little behind the last one.
      if (left < weights[i]) break;
      left -= weights[i];
    }
    weights[chosen] = 0.0;
    return chosen;
  }

  [[nodiscard]] double draw_magnitude(RandomStream& random) const {
    auto magnitude = static_cast<double>(magnitude_);
    if (deviation_ > 100.0)
      magnitude = random.uniform(0.0, magnitude);
    else if (deviation_ > 0.0)
      magnitude += deviation_ * random.normal();
    return std::clamp(magnitude, 0.0, static_cast<double>(largest_magnitude_));
  }

  [[nodiscard]] static ImageOperation draw_three_augment(RandomStream& random) {
    using Kind = ImageOperation::Kind;
    const std::int64_t which = random.integer(3);
    if (which == 0) return {Kind::kColor, 0.0};
    if (which == 1) return {Kind::kSolarize, 128.0};
    return {Kind::kBlur, random.uniform(0.1, 2.0)};
  }

  std::string name_;
  bool is_three_augment_ = false;
  std::int64_t magnitude_ = 10;
  std::int64_t layers_ = 2;
  double probability_ = 0.5;
  double deviation_ = 0.0;
  std::int64_t largest_magnitude_ = 10;
  bool increasing_ = false;
  std::string set_;
  std::vector<const detail::LeveledOperation*> operations_;
  std::vector<double> weights_;  // Empty: all the same.
};

}  // namespace contrapunto

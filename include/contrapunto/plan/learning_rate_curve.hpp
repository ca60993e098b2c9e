// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/core/gates.hpp"
#include "contrapunto/log/format.hpp"

namespace contrapunto {

/// Plots `schedule` over steps 0 to `total_steps` - 1 for a terminal, in `width` x `height`
/// characters plus axes. Each column shows the highest rate of its steps. The text has no final
/// newline. Raises unless total_steps >= 1, width >= 16 and height >= 1.
template <class S>
[[nodiscard]] std::string learning_rate_curve(const S& schedule, std::int64_t total_steps,
                                              std::int64_t width = 60, std::int64_t height = 8) {
  check_schedule<S>();
  TORCH_CHECK(total_steps >= 1 && width >= 16 && height >= 1,
              "learning_rate_curve: needs total_steps >= 1, width >= 16 and height >= 1, got ",
              total_steps, ", ", width, " and ", height);
  std::vector<double> columns;
  double highest = 0;
  for (std::int64_t column = 0; column < width; ++column) {
    const auto at = [&](std::int64_t c) {
      return static_cast<std::int64_t>(static_cast<double>(total_steps) * static_cast<double>(c) /
                                       static_cast<double>(width));
    };
    const std::int64_t begin = at(column), end = std::max(at(column + 1), begin + 1);
    const std::int64_t stride = std::max<std::int64_t>((end - begin) / 64, 1);
    double value = schedule(end - 1);
    for (std::int64_t step = begin; step < end; step += stride)
      value = std::max(value, static_cast<double>(schedule(step)));
    columns.push_back(value);
    highest = std::max(highest, value);
  }

  static constexpr std::array<const char*, 9> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto top = with_digits(highest, 3);
  std::string text;
  for (std::int64_t row = height - 1; row >= 0; --row) {
    const std::string label = row == height - 1 ? top : row == 0 ? "0" : "";
    const auto padding = std::max(top.size(), label.size()) - label.size();
    text += std::string(padding, ' ') + label + " │";
    for (const double value : columns) {
      const double share = highest > 0 ? value / highest : 0;
      const auto eighths = std::llround(share * static_cast<double>(8 * height)) - 8 * row;
      text += kBlocks[static_cast<std::size_t>(std::clamp<std::int64_t>(eighths, 0, 8))];
    }
    text += '\n';
  }
  const auto margin = std::string(top.size() + 1, ' ');
  text += margin + "└";
  for (std::int64_t column = 0; column < width; ++column) text += "─";
  const auto end = with_commas(total_steps) + " steps";
  const auto gap = std::max<std::int64_t>(width - 1 - static_cast<std::int64_t>(end.size()), 1);
  return text + '\n' + margin + " 0" + std::string(static_cast<std::size_t>(gap), ' ') + end;
}

}  // namespace contrapunto

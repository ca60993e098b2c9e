// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/log/evaluation_series.hpp"

namespace contrapunto {

struct CurvesOptions {
  std::string title{};  ///< Title above all panels, such as the name of the run; may be empty.
  /// Evaluations to draw over epochs, such as EvaluationTable::series(). The first is that of the
  /// run itself, whose values are left out of the curves over steps; the others are dashed.
  std::vector<EvaluationSeries> evaluations{};
  std::int64_t panel_width = 720;   ///< Pixels.
  std::int64_t panel_height = 400;  ///< Pixels.
  std::string gnuplot = "gnuplot";  ///< Program to run: a path, or a name in PATH.
};

}  // namespace contrapunto

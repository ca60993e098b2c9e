// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace contrapunto {

struct CurvesOptions {
  std::string title{};              ///< Above all panels, for the run's name; may be empty.
  std::int64_t panel_width = 720;   ///< Pixels.
  std::int64_t panel_height = 400;  ///< Pixels.
  std::string gnuplot = "gnuplot";  ///< Program to run: a path, or a name looked up in PATH.
};

}  // namespace contrapunto

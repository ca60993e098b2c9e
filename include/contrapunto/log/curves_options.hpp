// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace contrapunto {

struct CurvesOptions {
  std::string title{};  ///< Title above all panels, such as the name of the run; may be empty.
  std::int64_t panel_width = 720;   ///< Pixels.
  std::int64_t panel_height = 400;  ///< Pixels.
  std::string gnuplot = "gnuplot";  ///< Program to run: a path, or a name in PATH.
};

}  // namespace contrapunto

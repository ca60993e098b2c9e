// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace contrapunto {

/// Name of the tensor of a batch that holds view `view` of each image, counted from 0: "image",
/// "image2", "image3" and so on. See LoaderOptions::views. `name` is that of the first view.
[[nodiscard]] inline std::string view_name(std::int64_t view, const std::string& name = "image") {
  return view == 0 ? name : name + std::to_string(view + 1);
}

}  // namespace contrapunto

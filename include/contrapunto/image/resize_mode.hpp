// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// How an image of any shape becomes a square outside training.
enum class ResizeMode {
  kShortest,  ///< The shorter side becomes `image_size`, then the center is cut out.
  kLongest,   ///< The longer side becomes `image_size`, then both ends are padded with `fill`.
  kSquash,    ///< Both sides become `image_size`; proportions are not kept.
};

}  // namespace contrapunto

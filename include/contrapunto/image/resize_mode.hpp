// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// How an image of any shape becomes a square in evaluation.
enum class ResizeMode {
  kShortest,  ///< The shorter side becomes `image_size`, then the center is cropped.
  kLongest,  ///< The longer side becomes `image_size`, then the shorter side is padded with `fill`.
  kSquash,   ///< Both sides become `image_size`; the aspect ratio is not kept.
};

}  // namespace contrapunto

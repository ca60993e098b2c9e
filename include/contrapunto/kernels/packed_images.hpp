// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "contrapunto/kernels/detail/augment_row.hpp"

namespace contrapunto {

/// The decoded images of a batch before their augmentation, with what was drawn for each of them.
/// Several tensors may be made of the same pixels, such as those of a teacher with another image
/// size. A DataLoader with LoaderOptions::augment_device makes it; augment_images() takes it.
struct PackedImages {
  /// What becomes one tensor of the batch.
  struct Table {
    std::int64_t image_size = 224;  ///< Side of the square in pixels.
    bool is_cubic = true;           ///< The filter of the resize: bicubic, otherwise bilinear.
    std::vector<detail::AugmentRow> rows = {};  ///< One for each image, in any order.
    std::vector<detail::RowErasedBox> erased = {};
  };
  std::vector<at::Tensor> pieces = {};  ///< uint8 [bytes], on the host; each holds whole images.
  std::vector<Table> tables = {};
};

}  // namespace contrapunto

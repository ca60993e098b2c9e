// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/image/detail/augment_rows.hpp"
#include "contrapunto/image/image_transform_options.hpp"
#include "contrapunto/kernels/augment_images.hpp"

namespace contrapunto::detail {

/// Raises if LoaderOptions::augment_device is set and cannot make the images of a loader.
inline void check_augment_device(const LoaderOptions& options,
                                 const ImageTransformOptions& transform) {
  if (!options.augment_device) return;
  TORCH_CHECK(options.train,
              "DataLoader: augment_device is for training; for evaluation leave it unset, as "
              "LoaderOptions::for_evaluation() does");
  check_augments_on_device(transform);
  check_augment_device(*options.augment_device);
}

}  // namespace contrapunto::detail

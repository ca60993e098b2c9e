// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/data/view_name.hpp"

namespace contrapunto {

/// Makes one row of each view of the images of a batch of B samples: the result has `views` * B
/// rows, those of the first view first, and one tensor "image". All other tensors and the keys are
/// repeated. See with_repeats(). Raises if `views` is not positive and if the batch has fewer.
[[nodiscard]] inline Batch views_as_rows(Batch batch, std::int64_t views) {
  TORCH_CHECK(views > 0, "views_as_rows: views (", views, ") must be positive");
  if (views == 1) return batch;
  std::vector<at::Tensor> images;
  for (std::int64_t view = 0; view < views; ++view) {
    images.push_back(batch.at(view_name(view)));
    batch.tensors.erase(view_name(view));
  }
  for (auto& [_, tensor] : batch.tensors)
    tensor = at::cat(std::vector<at::Tensor>(static_cast<std::size_t>(views), tensor));
  batch.tensors.emplace(view_name(0), at::cat(images));
  const auto samples = std::ssize(batch.keys);
  for (std::int64_t i = samples; i < views * samples; ++i)
    batch.keys.push_back(batch.keys[static_cast<std::size_t>(i - samples)]);
  return batch;
}

}  // namespace contrapunto

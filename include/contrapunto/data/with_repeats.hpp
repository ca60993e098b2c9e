// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <utility>

#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/sample_source.hpp"

namespace contrapunto {

/// Returns the options of a loader for repeated augmentation: each image is decoded once and gives
/// `repeats` views, which views_as_rows() makes rows of one batch. `options.batch_size` is the
/// number of these rows. As in DeiT, an epoch has as many rows as `options` has samples, so that it
/// visits one of `repeats` samples, and the next epoch begins where it stopped. The views of an
/// image are in the batch of one rank; in DeiT they are in those of several. Raises if `repeats` is
/// not positive or does not divide the batch size.
/// Reference: Hoffer et al. 2020, https://arxiv.org/abs/1901.09335
[[nodiscard]] inline LoaderOptions with_repeats(LoaderOptions options, std::int64_t repeats,
                                                const SampleSource& source) {
  TORCH_CHECK(repeats > 0, "with_repeats: repeats (", repeats, ") must be positive");
  if (repeats == 1) return options;
  TORCH_CHECK(options.batch_size % repeats == 0, "with_repeats: the batch of each rank (",
              options.batch_size, " rows) must be a multiple of repeats (", repeats, ")");
  options.batch_size /= repeats;
  options.views = repeats;
  options.epoch_samples =
      (options.epoch_samples > 0 ? options.epoch_samples : source.size()) / repeats;
  return options;
}

}  // namespace contrapunto

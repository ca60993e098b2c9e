// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include "contrapunto/data/detail/check_augment_device.hpp"
#include "contrapunto/data/detail/sample_order.hpp"
#include "contrapunto/data/epoch_order.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/image/image_transform_options.hpp"

namespace contrapunto::detail {

/// Raises for options of a DataLoader that are out of range or cannot be combined, and if there is
/// no source or no sample in it.
inline void check_loader(const LoaderOptions& o, const SampleSource* source,
                         const ImageTransformOptions& transform) {
  TORCH_CHECK(source != nullptr, "DataLoader: no source given");
  TORCH_CHECK(o.batch_size > 0, "DataLoader: batch_size (", o.batch_size, ") must be positive");
  TORCH_CHECK(o.threads > 0, "DataLoader: threads (", o.threads, ") must be positive");
  TORCH_CHECK(o.views > 0, "DataLoader: views (", o.views, ") must be positive");
  TORCH_CHECK(o.views == 1 || o.train, "DataLoader: ", o.views,
              " views of an image are for training; for evaluation all are equal, so set views to "
              "1");
  TORCH_CHECK(o.views == 1 || transform.train, "DataLoader: the ", o.views,
              " views of an image would be equal, because the transform is not random; set "
              "ImageTransformOptions::train");
  check_augment_device(o, transform);
  TORCH_CHECK(!o.scaled_decode || !o.cache_decoded,
              "DataLoader: scaled_decode and cache_decoded exclude each other, because the cache "
              "keeps whole images at their size; set one of them to false");
  TORCH_CHECK(o.max_queued_batches > 0, "DataLoader: max_queued_batches (", o.max_queued_batches,
              ") must be positive");
  TORCH_CHECK(0.0 <= o.max_unusable_fraction && o.max_unusable_fraction <= 1.0,
              "DataLoader: max_unusable_fraction (", o.max_unusable_fraction,
              ") must be from 0 to 1");
  TORCH_CHECK(o.stall_seconds >= 0.0, "DataLoader: stall_seconds (", o.stall_seconds,
              ") must not be negative");
  TORCH_CHECK(source->size() > 0, "DataLoader: the source holds no sample");
  TORCH_CHECK(o.train || (o.epoch_samples == 0 && !o.with_replacement && !o.read_ahead.enabled()),
              "DataLoader: epoch_samples, with_replacement and read_ahead are for training");
  if (!o.read_ahead.enabled()) return;
  TORCH_CHECK(!o.cache_decoded,
              "DataLoader: read_ahead and cache_decoded exclude each other; images that fit into "
              "memory are read once anyway");
  TORCH_CHECK(o.read_ahead.lanes > 0 && o.read_ahead.lanes % o.ranks.size() == 0,
              "DataLoader: read_ahead.lanes (", o.read_ahead.lanes,
              ") must be a multiple of the number of ranks (", o.ranks.size(), ")");
}

/// Returns the order of the samples of a DataLoader. Raises as check_loader() does.
[[nodiscard]] inline SampleOrder checked_order(const LoaderOptions& o, const SampleSource* source,
                                               const ImageTransformOptions& transform) {
  check_loader(o, source, transform);
  EpochOrderOptions options{.shuffle = o.train, .window = o.shuffle_window};
  if (!o.train) return {source->shard_sizes(), {}, options, 0};
  options.with_replacement = o.with_replacement;
  options.piece_samples = o.read_ahead.piece_samples;
  options.pieces_together = o.read_ahead.pieces_together;
  options.lanes = o.read_ahead.enabled() ? o.read_ahead.lanes : 1;
  return {source->shard_sizes(), source->parts(), options, o.epoch_samples};
}

}  // namespace contrapunto::detail

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// A sample that could not be used.
struct SkippedSample {
  std::int64_t index = 0;  ///< In the source.
  std::string reason;      ///< "source: key: what was wrong"; control bytes are escaped.
};

/// Memory: at most `max_queued_batches` batches are prepared or ready, each of
/// batch_size * (3 * views * image_size^2 + 8 * (context + 1)) bytes, and each thread holds one
/// decoded image of at most 3 * max_pixels bytes and its encoded bytes.
struct LoaderOptions {
  std::int64_t batch_size = 256;  ///< Pairs in a batch of this rank.
  std::int64_t threads = 2;       ///< Threads that read, decode, transform and tokenize.
  std::uint64_t seed = 0;         ///< For order, crops and captions; equal on all ranks.
  /// Shuffle, drop the last partial batch, replace unusable samples; otherwise keep the order of
  /// the source, give every usable sample once, and take each sample's first caption.
  bool train = true;
  /// Views of each image, which is decoded once: each is cropped, flipped and colored anew, and
  /// view_name() gives its name in the batch. Above 1 for training only, as for SimCLR.
  std::int64_t views = 1;
  std::int64_t max_queued_batches = 4;
  std::int64_t pad_text_to = 0;          ///< Tokens; 0: the longest text of the batch.
  std::int64_t shuffle_window = 32;      ///< Shards mixed with one another; 0: all.
  Ranks ranks = {};                      ///< Ranks that share an epoch; the default is one process.
  bool cache_decoded = false;            ///< Keep decoded images for the next epochs.
  std::int64_t cache_bytes = 4LL << 30;  ///< Once so many are kept, the rest is decoded anew.
  bool pin_memory = false;               ///< Page-locked batches; ignored where there is no CUDA.
  bool channels_last = false;            ///< Memory order of the images, the shape stays [B,3,H,W].
  std::int64_t max_pixels = kDefaultMaxPixels;  ///< Larger images are skipped; 0: no limit.
  /// Largest fraction of samples that may be unusable, 0 to 1. It is judged from 300 samples on:
  /// next() raises when more than this fraction of max(300, samples tried) could not be used. The
  /// count starts anew with an epoch once 300 have been tried. 1 never raises.
  double max_unusable_fraction = 0.1;
  /// Called once for each sample that cannot be used, on the thread that calls next().
  std::function<void(const SkippedSample&)> on_skip = {};
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/data/image_reading.hpp"
#include "contrapunto/data/read_ahead_options.hpp"
#include "contrapunto/data/replayed_views.hpp"
#include "contrapunto/data/text_reading.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// A sample that could not be used.
struct SkippedSample {
  std::int64_t index = 0;  ///< Index in the source.
  std::string reason;      ///< "source: key: what was wrong"; control bytes are escaped.
};

/// Memory: at most `max_queued_batches` batches are in preparation or ready, each with batch_size *
/// (3 * views * image_size^2 + 8 * (context + 1)) bytes, and with batch_size * 3 * views *
/// image_size^2 and batch_size * 8 * context bytes more for each further reading of the images and
/// the texts. With `augment_device`, a batch instead holds the crops, of at most 8 times the pixels
/// of the squares that are made of them. Each thread holds up to two decoded images of at most 3 *
/// max_pixels bytes and encoded bytes of one.
struct LoaderOptions {
  std::int64_t batch_size = 256;  ///< Pairs in a batch of this rank.
  std::int64_t threads = 2;       ///< Threads that read, decode, transform and tokenize.
  std::uint64_t seed = 0;         ///< Seed of the order, crops and captions; the same on all ranks.
  /// On: shuffle, drop the last partial batch and replace unusable samples. Off: keep the order of
  /// the source, return every usable sample once, and use the first caption of each sample.
  bool train = true;
  /// Views of each image, which is decoded once: each is cropped, flipped and colored anew, and
  /// view_name() gives its name in the batch. Above 1 for training only, as for SimCLR.
  std::int64_t views = 1;
  /// A fixed set of views of each image, each a pure function of its own seed; an epoch uses one of
  /// them. For training with views == 1.
  ReplayedViews replay = {};
  /// Folders of stores of teacher embeddings for this data; see TeacherStore. A batch then also
  /// holds, for each store, teacher_image_features() and teacher_text_features() of the view and
  /// the caption that were drawn, [B, width] in the dtype of the store. A store of images sets the
  /// views, and `replay` need not be set. For training only.
  std::vector<std::string> teacher_stores = {};
  std::int64_t max_queued_batches = 4;
  std::int64_t pad_text_to = 0;  ///< Padded text length in tokens; 0: the longest text of the
                                 ///< batch.
  /// Tensors for models that read the samples in another way than the trained one, such as a
  /// teacher; the other tensors of a batch are the same with and without them.
  std::vector<ImageReading> image_readings = {};
  std::vector<TextReading> text_readings = {};  ///< They need a tokenize function of the loader.
  std::int64_t shuffle_window = 32;             ///< Shards that are shuffled together; 0: all.
  /// Samples in an epoch of training; 0: as many as the source has. Another number lets an epoch
  /// begin where the one before it stopped, in passes through the data; see detail::SampleOrder.
  std::int64_t epoch_samples = 0;
  /// Draw shards at random for each epoch, so that some samples come several times and others not.
  bool with_replacement = false;
  ReadAheadOptions read_ahead = {};      ///< For training.
  Ranks ranks = {};                      ///< Ranks that share an epoch; the default is one process.
  bool cache_decoded = false;            ///< Cache decoded images for the next epochs.
  std::int64_t cache_bytes = 4LL << 30;  ///< Size of the cache; further images are decoded each
                                         ///< time.
  /// Decode a JPEG at half or a quarter of its width and height if it shrinks at least four or
  /// eight times on both sides for all views and readings of it, which takes less time. The pixels
  /// then depend on the views and readings and differ a little: on photographs, 99.9 % of the
  /// values of a batch are within 8 of 255 levels of those without this, and the mean difference is
  /// 0.4 to 0.5 levels. Cannot be combined with `cache_decoded`.
  bool scaled_decode = false;
  /// If set, the threads only decode, and next() makes the images on this device, with the same
  /// bytes, from the crops that it copies there; see augment_images(). For training with a CUDA
  /// device, or for tests the CPU. It saves time if colors change or boxes are erased. A blur, a
  /// simple crop and an automatic augmentation are refused.
  std::optional<c10::Device> augment_device = std::nullopt;
  bool pin_memory = false;     ///< Use page-locked memory; ignored without CUDA.
  bool channels_last = false;  ///< Memory format of the images; the shape stays [B,3,H,W].
  std::int64_t max_pixels = kDefaultMaxPixels;  ///< Larger images are skipped; 0: no limit.
  /// Largest fraction of samples that may be unusable, from 0 to 1. It is enforced from 300 samples
  /// on: next() raises if more than this fraction of max(300, samples tried) could not be used. The
  /// count restarts with an epoch once 300 samples have been tried. 1 never raises in evaluation,
  /// where a batch without any usable sample is then empty.
  double max_unusable_fraction = 0.1;
  /// Time without a batch, in seconds, after which next() reports which file is being read and
  /// since when; and again each time after it. 0: never.
  double stall_seconds = 60.0;
  /// Called with this report on the thread that calls next(); empty: it is a TORCH_WARN.
  std::function<void(const std::string&)> on_stall = {};
  /// Called once for each sample that cannot be used, on the thread that calls next().
  std::function<void(const SkippedSample&)> on_skip = {};

  /// Returns the same options for evaluation: one view, no further readings, no teachers, and exact
  /// pixels.
  [[nodiscard]] LoaderOptions for_evaluation() const {
    LoaderOptions options = *this;
    options.train = false;
    options.views = 1;
    options.image_readings.clear();
    options.text_readings.clear();
    options.replay = {};
    options.teacher_stores.clear();
    options.epoch_samples = 0;
    options.with_replacement = false;
    options.read_ahead = {};
    options.scaled_decode = false;
    options.augment_device.reset();
    return options;
  }
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "contrapunto/core/random.hpp"
#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/detail/sample_reader.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/bounding_box.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/image/pixel_box.hpp"

namespace contrapunto::detail {

/// Makes the images of a row of a batch: each view of a sample as each model reads it. Const calls
/// may run in any number of threads.
class ViewMaker {
 public:
  /// What one thread keeps between samples.
  struct Workspace {
    ImageTransform::Workspace transform;
    std::vector<std::optional<Augmentation>> drawn;  // Of all views.
  };
  /// What must be decoded of an image.
  struct Needed {
    PixelBox box;
    std::int64_t reduction = 1;
  };

  ViewMaker(const ImageTransform& transform, const LoaderOptions& options)
      : views_(options.views), scaled_decode_(options.scaled_decode), transforms_{transform} {
    for (const ImageReading& reading : options.image_readings)
      transforms_.emplace_back(ImageTransformOptions{.image_size = reading.image_size,
                                                     .interpolation = reading.interpolation,
                                                     .resize_mode = reading.resize_mode,
                                                     .fill = transform.options().fill});
  }

  /// The transform of the loader, and those of the further readings.
  [[nodiscard]] const std::vector<ImageTransform>& transforms() const { return transforms_; }

  /// Draws all views of an image. The first uses `random`, and the others `stream_of(view)`.
  template <class StreamOf>
  void draw(const ImageRegion& image, RandomStream random, StreamOf stream_of,
            Workspace& work) const {
    work.drawn.clear();
    for (std::int64_t view = 0; view < views_; ++view) {
      if (view > 0) random = stream_of(view);
      work.drawn.push_back(transforms_.front().draw(image.width, image.height, random));
    }
  }

  /// Returns what the views that were drawn need of the image.
  [[nodiscard]] Needed needed(const ImageRegion& image, const Workspace& work) const {
    Needed needed;
    double shrinkage = std::numeric_limits<double>::infinity();
    for (const auto& drawn : work.drawn)
      for (const ImageTransform& transform : transforms_) {
        needed.box =
            bounding_box(needed.box, transform.needed_box(image.width, image.height, drawn));
        shrinkage = std::min(shrinkage, transform.shrinkage(image.width, image.height, drawn));
      }
    // Two pixels on each side for one of the result keep the difference small.
    if (scaled_decode_ && shrinkage >= 4.0) needed.reduction = shrinkage < 8.0 ? 2 : 4;
    return needed;
  }

  /// Writes the images to a row of `builder`, or what it needs to make them later.
  void apply(const DecodedSample& sample, BatchBuilder& builder, std::int64_t row,
             Workspace& work) const {
    std::size_t tensor = 0;
    for (std::size_t view = 0; view < work.drawn.size(); ++view) {
      const std::optional<Augmentation>& drawn = work.drawn[view];
      if (builder.packs()) {
        builder.pack_view(row, static_cast<std::int64_t>(view), sample.pixels, sample.region,
                          drawn.value(), work.transform);
        continue;
      }
      for (const ImageTransform& transform : transforms_) {
        transform.apply(sample.pixels, sample.region, drawn, work.transform);
        builder.set_image(row, tensor++, work.transform.square);
      }
    }
  }

 private:
  std::int64_t views_;
  bool scaled_decode_;
  std::vector<ImageTransform> transforms_;  // The transform of the loader first.
};

}  // namespace contrapunto::detail

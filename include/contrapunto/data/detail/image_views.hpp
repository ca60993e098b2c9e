// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/detail/sample_reader.hpp"
#include "contrapunto/data/image_reading.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/bounding_box.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/image/pixel_box.hpp"

namespace contrapunto::detail {

/// The images of a sample in a batch: for each view that of the model and those of the further
/// readings. Const calls may run in any number of threads.
class ImageViews {
 public:
  ImageViews(const ImageTransform& transform, const LoaderOptions& options)
      : views_(options.views), transforms_{transform} {
    for (const ImageReading& reading : options.image_readings)
      transforms_.emplace_back(ImageTransformOptions{.image_size = reading.image_size,
                                                     .interpolation = reading.interpolation,
                                                     .resize_mode = reading.resize_mode,
                                                     .fill = transform.options().fill});
  }

  /// Draws all views of an image. `stream_of(view)` returns the random numbers of a view.
  template <class StreamOf>
  void draw(const ImageRegion& image, const StreamOf& stream_of,
            std::vector<std::optional<Augmentation>>& drawn) const {
    drawn.clear();
    for (std::int64_t view = 0; view < views_; ++view) {
      auto random = stream_of(view);
      drawn.push_back(transforms_.front().draw(image.width, image.height, random));
    }
  }

  /// Returns the part of the image that the views need in all their readings.
  [[nodiscard]] PixelBox needed_box(const ImageRegion& image,
                                    const std::vector<std::optional<Augmentation>>& drawn) const {
    PixelBox box;
    for (const auto& view : drawn)
      for (const ImageTransform& transform : transforms_)
        box = bounding_box(box, transform.needed_box(image.width, image.height, view));
    return box;
  }

  /// Writes the images of `sample` to a row of `builder`, in the order of batch_tensors().
  void apply(const DecodedSample& sample, const std::vector<std::optional<Augmentation>>& drawn,
             ImageTransform::Workspace& work, BatchBuilder& builder, std::int64_t row) const {
    std::size_t tensor = 0;
    for (const auto& view : drawn)
      for (const ImageTransform& transform : transforms_) {
        transform.apply(sample.pixels, sample.region, view, work);
        builder.set_image(row, tensor++, work.square);
      }
  }

 private:
  std::int64_t views_;
  std::vector<ImageTransform> transforms_;  // That of the model comes first.
};

}  // namespace contrapunto::detail

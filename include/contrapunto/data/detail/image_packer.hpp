// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/detail/augment_rows.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/kernels/packed_images.hpp"

namespace contrapunto::detail {

/// Collects the images of a batch for augment_images(). Several threads fill it, each with its own
/// rows.
class ImagePacker {
 public:
  struct Options {
    /// The tensors of one view; each transform gives the size and the filter of one of them.
    std::vector<ImageTransform> transforms = {};
    std::int64_t views = 1;
    bool pinned = false;
    std::int64_t piece_bytes = 128LL << 20;  ///< Bytes that are copied to the device at once.
  };

  ImagePacker(std::int64_t rows, Options options) : o_(std::move(options)) {
    std::int64_t most_bytes = 0;
    for (const ImageTransform& transform : o_.transforms) {
      const std::int64_t size = transform.options().image_size;
      most_bytes += rows * o_.views * kMostCropPerSquare * size * size * 3;
    }
    o_.piece_bytes = std::min(o_.piece_bytes, most_bytes);
    entries_.resize(static_cast<std::size_t>(o_.views) * o_.transforms.size());
    for (auto& table : entries_) table.resize(static_cast<std::size_t>(rows));
  }

  /// Stores what the tensors of view `view` need of row `row`: `drawn`, and the crop of the image,
  /// of which `region` describes the pixels. A crop with more than kMostCropPerSquare times the
  /// pixels of a square, or of its side, is resized here, which gives the same bytes and bounds the
  /// memory.
  void set_view(std::int64_t row, std::int64_t view, const RgbImage& pixels,
                const ImageRegion& region, const Augmentation& drawn,
                ImageTransform::Workspace& work) {
    const PixelBox box = drawn.crop.value_or(region.full_box());
    const Span columns(box.left, box.width, region.left, region.reduction);
    const Span lines(box.top, box.height, region.top, region.reduction);
    std::optional<Stored> shared;
    for (std::size_t t = 0; t < o_.transforms.size(); ++t) {
      const ImageTransformOptions& to = o_.transforms[t].options();
      const std::int64_t size = to.image_size;
      Entry& entry = entries_[static_cast<std::size_t>(view) * o_.transforms.size() + t]
                             [static_cast<std::size_t>(row)];
      entry.erased.clear();
      entry.row = augment_row(drawn, size, entry.erased);
      if (columns.pixels * lines.pixels > kMostCropPerSquare * size * size ||
          std::max(columns.pixels, lines.pixels) > kMostCropPerSquare * size) {
        work.resizer(pixels, region, box, size, size, {0, 0, size, size}, work.square,
                     to.interpolation);
        const Span all(0, size, 0, 1);
        place(entry.row, store(work.square, all, all), all, all);
      } else {
        if (!shared) shared = store(pixels, columns, lines);
        place(entry.row, *shared, columns, lines);
      }
    }
  }

  /// Returns the images of all rows: the tables of the first view, then those of the second, and so
  /// on. All rows must be set.
  [[nodiscard]] PackedImages finish() {
    PackedImages packed;
    for (std::size_t i = 0; i < pieces_.size(); ++i)
      packed.pieces.push_back(pieces_[i].narrow(0, 0, used_[i]));
    for (std::size_t e = 0; e < entries_.size(); ++e) {
      const ImageTransformOptions& to = o_.transforms[e % o_.transforms.size()].options();
      PackedImages::Table table{.image_size = to.image_size,
                                .is_cubic = to.interpolation == Interpolation::kBicubic};
      for (const Entry& entry : entries_[e]) {
        AugmentRow row = entry.row;
        row.image = static_cast<std::int32_t>(table.rows.size());
        row.erased = std::ssize(table.erased);
        table.rows.push_back(row);
        table.erased.insert(table.erased.end(), entry.erased.begin(), entry.erased.end());
      }
      packed.tables.push_back(std::move(table));
    }
    return packed;
  }

  /// At 224 pixels, images of up to 730 x 550 pixels are packed whole.
  static constexpr std::int64_t kMostCropPerSquare = 8;

 private:
  struct Entry {
    AugmentRow row;
    std::vector<RowErasedBox> erased;
  };
  /// The pixels of one axis that the part `begin`, `length` of an image touches, if each stands for
  /// `reduction` pixels of the image and the first one is number `start`.
  struct Span {
    Span(std::int64_t begin, std::int64_t length, std::int64_t start, std::int64_t reduction)
        : first(begin / reduction - start),
          offset(static_cast<double>(begin % reduction) / static_cast<double>(reduction)),
          extent(static_cast<double>(length) / static_cast<double>(reduction)),
          pixels((begin % reduction + length + reduction - 1) / reduction) {}
    std::int64_t first;
    double offset;  ///< Of the part in the first pixel.
    double extent;
    std::int64_t pixels;
  };
  struct Stored {
    std::int32_t piece = 0;
    std::int64_t pixels = 0;
    std::uint8_t* to = nullptr;
  };

  static void place(AugmentRow& row, const Stored& stored, const Span& columns, const Span& lines) {
    row.piece = stored.piece;
    row.pixels = stored.pixels;
    row.width = static_cast<std::int32_t>(columns.pixels);
    row.height = static_cast<std::int32_t>(lines.pixels);
    row.crop_left = columns.offset;
    row.crop_top = lines.offset;
    row.crop_width = columns.extent;
    row.crop_height = lines.extent;
  }

  /// Copies pixels to a piece.
  [[nodiscard]] Stored store(const RgbImage& image, const Span& columns, const Span& lines) {
    const std::int64_t row_bytes = columns.pixels * 3;
    const Stored stored = reserve(row_bytes * lines.pixels);
    for (std::int64_t y = 0; y < lines.pixels; ++y)
      std::memcpy(stored.to + y * row_bytes, image.row(lines.first + y) + columns.first * 3,
                  static_cast<std::size_t>(row_bytes));
    return stored;
  }

  [[nodiscard]] Stored reserve(std::int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (pieces_.empty() || used_.back() + bytes > pieces_.back().numel()) {
      pieces_.push_back(at::empty({std::max(bytes, o_.piece_bytes)},
                                  at::TensorOptions(at::kByte).pinned_memory(o_.pinned)));
      used_.push_back(0);
    }
    const std::int64_t begin = used_.back();
    used_.back() += bytes;
    return {static_cast<std::int32_t>(pieces_.size() - 1), begin,
            pieces_.back().mutable_data_ptr<std::uint8_t>() + begin};
  }

  Options o_;
  std::vector<std::vector<Entry>> entries_;  // [views * transforms][rows]
  std::mutex mutex_;
  std::vector<at::Tensor> pieces_;
  std::vector<std::int64_t> used_;  // Bytes of each piece.
};

}  // namespace contrapunto::detail

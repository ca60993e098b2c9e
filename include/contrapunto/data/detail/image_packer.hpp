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

  /// Stores what the tensors of view `view` need of row `row`: the crop of `image`, and `drawn`. A
  /// crop with more than kMostCropPerSquare times the pixels of a square, or of its side, is
  /// resized here, which gives the same bytes and bounds the memory.
  void set_view(std::int64_t row, std::int64_t view, const RgbImage& image,
                const Augmentation& drawn, ImageTransform::Workspace& work) {
    const PixelBox crop = drawn.crop.value_or(PixelBox{0, 0, image.width(), image.height()});
    std::optional<Stored> shared;
    for (std::size_t t = 0; t < o_.transforms.size(); ++t) {
      const ImageTransformOptions& to = o_.transforms[t].options();
      const std::int64_t size = to.image_size;
      Entry& entry = entries_[static_cast<std::size_t>(view) * o_.transforms.size() + t]
                             [static_cast<std::size_t>(row)];
      entry.row = augment_row(drawn, size, entry.erased);
      if (crop.width * crop.height > kMostCropPerSquare * size * size ||
          std::max(crop.width, crop.height) > kMostCropPerSquare * size) {
        const PixelBox square{0, 0, size, size};
        work.resizer(image, crop, size, size, square, work.square, to.interpolation);
        place(entry.row, store(work.square, square));
      } else {
        if (!shared) shared = store(image, crop);
        place(entry.row, *shared);
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

  /// More would be slower to copy to the device than to resize.
  static constexpr std::int64_t kMostCropPerSquare = 8;

 private:
  struct Entry {
    AugmentRow row;
    std::vector<RowErasedBox> erased;
  };
  struct Stored {
    std::int32_t piece = 0;
    std::int64_t pixels = 0;
    std::int64_t width = 0;
    std::int64_t height = 0;
  };

  static void place(AugmentRow& row, const Stored& stored) {
    row.piece = stored.piece;
    row.pixels = stored.pixels;
    row.width = static_cast<std::int32_t>(stored.width);
    row.height = static_cast<std::int32_t>(stored.height);
    row.crop_width = static_cast<double>(stored.width);
    row.crop_height = static_cast<double>(stored.height);
  }

  /// Copies the pixels of `box` to a piece.
  [[nodiscard]] Stored store(const RgbImage& image, const PixelBox& box) {
    const std::int64_t row_bytes = box.width * 3;
    const auto [stored, begin] = reserve(box, row_bytes * box.height);
    std::uint8_t* to = begin;
    for (std::int64_t y = box.top; y < box.top + box.height; ++y, to += row_bytes)
      std::memcpy(to, image.row(y) + box.left * 3, static_cast<std::size_t>(row_bytes));
    return stored;
  }

  [[nodiscard]] std::pair<Stored, std::uint8_t*> reserve(const PixelBox& box, std::int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (pieces_.empty() || used_.back() + bytes > pieces_.back().numel()) {
      pieces_.push_back(at::empty({std::max(bytes, o_.piece_bytes)},
                                  at::TensorOptions(at::kByte).pinned_memory(o_.pinned)));
      used_.push_back(0);
    }
    const Stored stored{static_cast<std::int32_t>(pieces_.size() - 1), used_.back(), box.width,
                        box.height};
    used_.back() += bytes;
    return {stored, pieces_.back().mutable_data_ptr<std::uint8_t>() + stored.pixels};
  }

  Options o_;
  std::vector<std::vector<Entry>> entries_;  // [views * transforms][rows]
  std::mutex mutex_;
  std::vector<at::Tensor> pieces_;
  std::vector<std::int64_t> used_;  // Bytes of each piece.
};

}  // namespace contrapunto::detail

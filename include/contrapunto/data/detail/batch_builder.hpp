// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/data/detail/image_packer.hpp"
#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/detail/split_channels.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/kernels/augment_images.hpp"

namespace contrapunto::detail {

/// A batch that several threads fill, each with its own rows. It uses no ATen operation other than
/// allocation, because other operations would give every loader thread its own OpenMP threads.
class BatchBuilder {
 public:
  struct Images {
    std::string name;
    std::int64_t size = 0;
  };
  struct Texts {
    std::string name;
    std::int64_t pad_to = 0;  ///< 0: the longest text of the batch.
  };
  /// Rows of numbers that are copied as they are, [rows, width].
  struct Features {
    std::string name;
    at::ScalarType type = at::kFloat;
    std::int64_t width = 0;
  };
  /// The tensors of the batch.
  struct Options {
    std::vector<Images> images = {};
    std::vector<Texts> texts = {};
    std::vector<Features> features = {};
    bool pinned = false;
    bool channels_last = false;
    /// If not empty, the images are packed and augmented later. These are the transforms of one
    /// view; `images` has an element for each of them and each view.
    std::vector<ImageTransform> packed = {};
  };

  BatchBuilder(std::int64_t first_place, std::int64_t rows, Options options)
      : first_place_(first_place),
        rows_(rows),
        o_(std::move(options)),
        content_(static_cast<std::size_t>(rows)) {
    if (o_.packed.empty()) {
      for (const Images& images : o_.images)
        images_.push_back(
            at::empty({rows, 3, images.size, images.size}, tensor_options(at::kByte), format()));
    } else {
      packer_.emplace(rows,
                      ImagePacker::Options{.transforms = o_.packed,
                                           .views = std::ssize(o_.images) / std::ssize(o_.packed),
                                           .pinned = o_.pinned});
    }
    for (const Features& features : o_.features)
      features_.push_back(at::empty({rows, features.width}, tensor_options(features.type)));
  }

  [[nodiscard]] std::int64_t first_place() const { return first_place_; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }

  /// Everything but the pixels: `tokens` has one text for each element of Options::texts. Call
  /// set_image as well.
  void set_row(std::int64_t row, std::vector<std::vector<std::int64_t>> tokens,
               std::optional<std::int64_t> label, std::string key) {
    content_[static_cast<std::size_t>(row)] = {true, std::move(tokens), label, std::move(key)};
  }

  /// The pixels of a row for the element `which` of Options::images.
  void set_image(std::int64_t row, std::size_t which, const RgbImage& image) {
    std::uint8_t* out = row_pixels(row, which);
    if (o_.channels_last) {
      std::memcpy(out, image.data(), image.bytes());
      return;
    }
    split_channels(image.data(), image.bytes() / 3, out);
  }

  /// Whether images are packed, so that pack_view() takes the place of set_image().
  [[nodiscard]] bool packs() const { return packer_.has_value(); }

  /// For Options::packed: what all tensors of a view need of a row.
  void pack_view(std::int64_t row, std::int64_t view, const RgbImage& pixels,
                 const ImageRegion& region, const Augmentation& drawn,
                 ImageTransform::Workspace& work) {
    packer_->set_view(row, view, pixels, region, drawn, work);
  }

  /// For Options::packed: makes the images on `device` and adds them to `batch`, the result of
  /// finish(). All rows must be set.
  void add_augmented_images(Batch& batch, c10::Device device) {
    const auto images = augment_images(packer_->finish(), device, {.format = format()});
    for (std::size_t which = 0; which < images.size(); ++which)
      batch.tensors.emplace(o_.images[which].name, images[which]);
  }

  /// The bytes of a row for the element `which` of Options::features.
  void set_features(std::int64_t row, std::size_t which, std::string_view bytes) {
    TORCH_INTERNAL_ASSERT(bytes.size() == feature_bytes(which));
    std::memcpy(row_features(row, which), bytes.data(), bytes.size());
  }

  /// Counts `rows` rows as done, whether they were set or not. Returns true for the call that
  /// completes the batch.
  [[nodiscard]] bool complete(std::int64_t rows) {
    return done_.fetch_add(rows, std::memory_order_acq_rel) + rows == rows_;
  }

  /// Returns the batch of the rows that were set. Rows behind missing rows move up.
  [[nodiscard]] Batch finish() {
    std::size_t kept = 0;
    for (std::size_t row = 0; row < content_.size(); ++row) {
      if (!content_[row].is_set) continue;
      if (kept != row) {
        for (std::size_t which = 0; which < images_.size(); ++which)
          std::memcpy(row_pixels(static_cast<std::int64_t>(kept), which),
                      row_pixels(static_cast<std::int64_t>(row), which), row_bytes(which));
        for (std::size_t which = 0; which < features_.size(); ++which)
          std::memcpy(row_features(static_cast<std::int64_t>(kept), which),
                      row_features(static_cast<std::int64_t>(row), which), feature_bytes(which));
        content_[kept] = std::move(content_[row]);
      }
      ++kept;
    }
    content_.resize(kept);
    const auto n = static_cast<std::int64_t>(kept);
    Batch batch;
    for (std::size_t which = 0; which < images_.size(); ++which) {
      const at::Tensor& images = images_[which];
      batch.tensors.emplace(o_.images[which].name, n == rows_ ? images : images.narrow(0, 0, n));
    }
    for (std::size_t which = 0; which < features_.size(); ++which)
      batch.tensors.emplace(o_.features[which].name, features_[which].narrow(0, 0, n));
    bool labeled = false;
    for (Row& row : content_) {
      labeled |= row.label.has_value();
      batch.keys.push_back(std::move(row.key));
    }
    for (std::size_t which = 0; which < o_.texts.size(); ++which)
      batch.tensors.emplace(o_.texts[which].name, texts(n, which));
    if (labeled) {
      const at::Tensor labels = at::empty({n}, tensor_options(at::kLong));
      auto* out = labels.mutable_data_ptr<std::int64_t>();
      for (const Row& row : content_) *out++ = row.label.value_or(-1);
      batch.tensors.emplace("label", labels);
    }
    return batch;
  }

 private:
  struct Row {
    bool is_set = false;
    std::vector<std::vector<std::int64_t>> tokens;
    std::optional<std::int64_t> label;
    std::string key;
  };

  [[nodiscard]] at::MemoryFormat format() const {
    return o_.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }
  [[nodiscard]] at::TensorOptions tensor_options(at::ScalarType type) const {
    return at::TensorOptions().dtype(type).pinned_memory(o_.pinned);
  }
  [[nodiscard]] std::size_t row_bytes(std::size_t which) const {
    const std::int64_t size = o_.images[which].size;
    return static_cast<std::size_t>(size * size * 3);
  }
  [[nodiscard]] std::uint8_t* row_pixels(std::int64_t row, std::size_t which) {
    return images_[which].mutable_data_ptr<std::uint8_t>() +
           static_cast<std::size_t>(row) * row_bytes(which);
  }

  [[nodiscard]] std::size_t feature_bytes(std::size_t which) const {
    return static_cast<std::size_t>(o_.features[which].width) *
           c10::elementSize(o_.features[which].type);
  }
  [[nodiscard]] char* row_features(std::int64_t row, std::size_t which) {
    return static_cast<char*>(features_[which].mutable_data_ptr()) +
           static_cast<std::size_t>(row) * feature_bytes(which);
  }

  [[nodiscard]] at::Tensor texts(std::int64_t n, std::size_t which) const {
    const std::int64_t pad_to = o_.texts[which].pad_to;
    auto length = static_cast<std::size_t>(pad_to);
    for (const Row& row : content_) {
      const std::size_t tokens = row.tokens[which].size();
      TORCH_CHECK(pad_to == 0 || tokens <= length, "DataLoader: a text of ", tokens,
                  " tokens does not fit '", o_.texts[which].name, "', which is padded to ", pad_to,
                  "; set pad_text_to, or TextReading::pad_to, to the tokenizer's context length");
      length = std::max(length, tokens);
    }
    const at::Tensor text =
        at::empty({n, static_cast<std::int64_t>(length)}, tensor_options(at::kLong));
    auto* out = text.mutable_data_ptr<std::int64_t>();
    for (const Row& row : content_) {
      const std::vector<std::int64_t>& tokens = row.tokens[which];
      std::copy(tokens.begin(), tokens.end(), out);
      std::fill(out + tokens.size(), out + length, 0);
      out += length;
    }
    return text;
  }

  std::int64_t first_place_;
  std::int64_t rows_;
  Options o_;
  std::vector<at::Tensor> images_;
  std::optional<ImagePacker> packer_;
  std::vector<at::Tensor> features_;
  std::vector<Row> content_;
  std::atomic<std::int64_t> done_{0};
};

}  // namespace contrapunto::detail

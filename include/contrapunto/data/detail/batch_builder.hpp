// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
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
#include "contrapunto/data/view_name.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto::detail {

/// A batch that several threads fill, each with its own rows. It uses no ATen operation other than
/// allocation, because other operations would give every loader thread its own OpenMP threads.
class BatchBuilder {
 public:
  /// Another tensor of the batch, [rows, width].
  struct Extra {
    std::string name = {};
    at::ScalarType type = at::kFloat;
    std::int64_t width = 0;
  };
  struct Options {
    std::int64_t image_size = 0;
    std::int64_t views = 1;
    std::int64_t pad_text_to = 0;
    bool with_text = true;
    bool pinned = false;
    bool channels_last = false;
    std::vector<Extra> extras = {};
  };

  BatchBuilder(std::int64_t first_place, std::int64_t rows, Options options)
      : first_place_(first_place),
        rows_(rows),
        o_(std::move(options)),
        content_(static_cast<std::size_t>(rows)) {
    const auto format =
        o_.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    for (std::int64_t view = 0; view < o_.views; ++view)
      views_.push_back(
          at::empty({rows, 3, o_.image_size, o_.image_size}, tensor_options(at::kByte), format));
    for (const Extra& extra : o_.extras)
      extras_.push_back(at::empty({rows, extra.width}, tensor_options(extra.type)));
  }

  [[nodiscard]] std::int64_t first_place() const { return first_place_; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }

  /// Everything but the pixels; call set_view for each view as well.
  void set_row(std::int64_t row, std::vector<std::int64_t> tokens,
               std::optional<std::int64_t> label, std::string key) {
    content_[static_cast<std::size_t>(row)] = {true, std::move(tokens), label, std::move(key)};
  }

  void set_view(std::int64_t row, std::int64_t view, const RgbImage& image) {
    std::uint8_t* out = row_pixels(row, view);
    if (o_.channels_last) {
      std::memcpy(out, image.data(), image.bytes());
      return;
    }
    const std::size_t pixels = image.bytes() / 3;
    const std::uint8_t* in = image.data();
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t i = 0; i < pixels; ++i) *out++ = in[i * 3 + c];
  }

  /// Sets a row of the tensor `extra`, counted as in Options, to its bytes.
  void set_extra(std::int64_t row, std::size_t extra, std::string_view bytes) {
    TORCH_INTERNAL_ASSERT(bytes.size() == extra_bytes(extra));
    std::memcpy(extra_row(row, extra), bytes.data(), bytes.size());
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
        for (std::int64_t view = 0; view < o_.views; ++view)
          std::memcpy(row_pixels(static_cast<std::int64_t>(kept), view),
                      row_pixels(static_cast<std::int64_t>(row), view), row_bytes());
        for (std::size_t extra = 0; extra < extras_.size(); ++extra)
          std::memcpy(extra_row(static_cast<std::int64_t>(kept), extra),
                      extra_row(static_cast<std::int64_t>(row), extra), extra_bytes(extra));
        content_[kept] = std::move(content_[row]);
      }
      ++kept;
    }
    content_.resize(kept);
    const auto n = static_cast<std::int64_t>(kept);
    Batch batch;
    for (std::int64_t view = 0; view < o_.views; ++view) {
      const at::Tensor& images = views_[static_cast<std::size_t>(view)];
      batch.tensors.emplace(view_name(view), n == rows_ ? images : images.narrow(0, 0, n));
    }
    for (std::size_t extra = 0; extra < extras_.size(); ++extra)
      batch.tensors.emplace(o_.extras[extra].name, extras_[extra].narrow(0, 0, n));
    bool labeled = false;
    for (Row& row : content_) {
      labeled |= row.label.has_value();
      batch.keys.push_back(std::move(row.key));
    }
    if (o_.with_text) batch.tensors.emplace("text", texts(n));
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
    std::vector<std::int64_t> tokens;
    std::optional<std::int64_t> label;
    std::string key;
  };

  [[nodiscard]] at::TensorOptions tensor_options(at::ScalarType type) const {
    return at::TensorOptions().dtype(type).pinned_memory(o_.pinned);
  }
  [[nodiscard]] std::size_t row_bytes() const {
    return static_cast<std::size_t>(o_.image_size * o_.image_size * 3);
  }
  [[nodiscard]] std::uint8_t* row_pixels(std::int64_t row, std::int64_t view) {
    return views_[static_cast<std::size_t>(view)].mutable_data_ptr<std::uint8_t>() +
           static_cast<std::size_t>(row) * row_bytes();
  }

  [[nodiscard]] std::size_t extra_bytes(std::size_t extra) const {
    return static_cast<std::size_t>(o_.extras[extra].width) *
           c10::elementSize(o_.extras[extra].type);
  }
  [[nodiscard]] char* extra_row(std::int64_t row, std::size_t extra) {
    return static_cast<char*>(extras_[extra].mutable_data_ptr()) +
           static_cast<std::size_t>(row) * extra_bytes(extra);
  }

  [[nodiscard]] at::Tensor texts(std::int64_t n) const {
    std::size_t length = static_cast<std::size_t>(o_.pad_text_to);
    for (const Row& row : content_) {
      TORCH_CHECK(o_.pad_text_to == 0 || row.tokens.size() <= length, "DataLoader: a text of ",
                  row.tokens.size(), " tokens does not fit pad_text_to (", o_.pad_text_to,
                  "); set it to the tokenizer's context length");
      length = std::max(length, row.tokens.size());
    }
    const at::Tensor text =
        at::empty({n, static_cast<std::int64_t>(length)}, tensor_options(at::kLong));
    auto* out = text.mutable_data_ptr<std::int64_t>();
    for (const Row& row : content_) {
      std::copy(row.tokens.begin(), row.tokens.end(), out);
      std::fill(out + row.tokens.size(), out + length, 0);
      out += length;
    }
    return text;
  }

  std::int64_t first_place_;
  std::int64_t rows_;
  Options o_;
  std::vector<at::Tensor> views_;
  std::vector<at::Tensor> extras_;
  std::vector<Row> content_;
  std::atomic<std::int64_t> done_{0};
};

}  // namespace contrapunto::detail

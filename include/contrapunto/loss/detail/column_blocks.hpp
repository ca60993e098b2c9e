// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/tiles.hpp"

namespace contrapunto::detail {

/// Returns the largest length of a row; 0 if there are no rows.
[[nodiscard]] inline double longest_row(const at::Tensor& x) {
  if (x.size(0) == 0) return 0.0;
  return at::linalg_vector_norm(x, 2, {1}, false, sum_dtype(x)).max().item<double>();
}

/// The blocks of columns of all ranks, processed one after another, starting with this rank's own.
class ColumnBlocks {
 public:
  /// Raises on every rank if the features of any rank are not finite, because their gradients would
  /// reach all other ranks. The message names those ranks.
  ColumnBlocks(Ranks ranks, const at::Tensor& x, const at::Tensor& y, bool ring)
      : ranks_(std::move(ranks)), rank_(ranks_.rank()), size_(ranks_.size()), ring_(ring) {
    // The row lengths bound the logits, which determines the offset. All ranks must use the same
    // offset.
    const auto own = at::tensor({static_cast<double>(x.size(0)), static_cast<double>(y.size(0)),
                                 longest_row(x), longest_row(y)},
                                at::TensorOptions(at::kDouble).device(x.device()));
    const auto all = (size_ == 1 ? own.unsqueeze(0) : ranks_.all_gather(own)).cpu();
    const auto table = all.accessor<double, 2>();
    std::string broken;
    for (std::int64_t r = 0; r < size_; ++r) {
      begins_.push_back(total_);
      rows_.push_back(static_cast<std::int64_t>(table[r][0]));
      columns_.push_back(static_cast<std::int64_t>(table[r][1]));
      total_ += columns_.back();
      longest_ = std::max(longest_, columns_.back());
      all_rows_ += rows_.back();
      longest_x_ = std::max(longest_x_, table[r][2]);
      longest_y_ = std::max(longest_y_, table[r][3]);
      if (!std::isfinite(table[r][2] + table[r][3]))
        broken += (broken.empty() ? "" : ", ") + std::to_string(r);
    }
    TORCH_CHECK(size_ == 1 || broken.empty(), "the features of rank ", broken,
                " are not finite; check that rank's device and data, lower the learning rate or "
                "use float32, and resume from the last checkpoint");
  }

  [[nodiscard]] std::int64_t total() const { return total_; }  ///< Columns of all ranks.
  [[nodiscard]] std::int64_t all_rows() const { return all_rows_; }
  [[nodiscard]] double bound() const {
    return longest_x_ * longest_y_;
  }  ///< Upper bound on |x y^T|.
  [[nodiscard]] std::int64_t begin(std::int64_t r) const { return begins_[index(r)]; }
  [[nodiscard]] std::int64_t columns(std::int64_t r) const { return columns_[index(r)]; }
  [[nodiscard]] std::int64_t rows(std::int64_t r) const { return rows_[index(r)]; }

  /// Gathers `values` [m, ...] of all ranks, padded to [W, longest, ...].
  [[nodiscard]] at::Tensor gather(const at::Tensor& values) const {
    return size_ == 1 ? values.unsqueeze(0) : ranks_.all_gather(pad(values));
  }

  /// Calls `visit(rank, block)` for the block [m, D] of every rank. The ring form receives the next
  /// block during the call.
  template <class Visit>
  void for_each(const at::Tensor& y, const Visit& visit) const {
    if (size_ == 1) {
      visit(rank_, y);
    } else if (ring_) {
      auto block = pad(y);
      for (std::int64_t hop = 0; hop < size_; ++hop) {
        const auto owner = (rank_ + hop) % size_;
        if (hop + 1 < size_) {
          auto next = ranks_.ring_shift(block, 1);
          visit(owner, block.narrow(0, 0, columns(owner)));
          block = next.wait();
        } else {
          visit(owner, block.narrow(0, 0, columns(owner)));
        }
      }
    } else {
      const auto all = gather(y);
      for (std::int64_t hop = 0; hop < size_; ++hop) {
        const auto owner = (rank_ + hop) % size_;
        visit(owner, all[owner].narrow(0, 0, columns(owner)));
      }
    }
  }

  /// Calls `visit(rank, block, sum)` likewise, with a `sum` [m, width] that starts as zeros with
  /// options `where`. Returns the sum over all ranks of what they added for this rank's block. The
  /// ring form passes the sums around together with the blocks.
  template <class Visit>
  [[nodiscard]] at::Tensor for_each_and_sum(const at::Tensor& y, std::int64_t width,
                                            const at::TensorOptions& where,
                                            const Visit& visit) const {
    if (size_ == 1) {
      auto sum = at::zeros({y.size(0), width}, where);
      visit(rank_, y, sum);
      return sum;
    }
    if (!ring_) {
      auto sums = at::zeros({size_, longest_, width}, where);
      for_each(y, [&](std::int64_t owner, const at::Tensor& block) {
        auto sum = sums[owner].narrow(0, 0, columns(owner));
        visit(owner, block, sum);
      });
      return ranks_.reduce_scatter_sum(sums).narrow(0, 0, y.size(0));
    }
    std::optional<PendingTensor> traveling;
    for_each(y, [&](std::int64_t owner, const at::Tensor& block) {
      auto own = at::zeros({longest_, width}, where);
      auto sum = own.narrow(0, 0, columns(owner));
      visit(owner, block, sum);
      if (traveling) own.add_(traveling->wait());
      traveling = ranks_.ring_shift(own, 1);
    });
    return traveling->wait().narrow(0, 0, y.size(0));
  }

 private:
  static std::size_t index(std::int64_t r) { return static_cast<std::size_t>(r); }

  [[nodiscard]] at::Tensor pad(const at::Tensor& values) const {
    if (values.size(0) == longest_) return values.contiguous();
    auto shape = values.sizes().vec();
    shape.front() = longest_ - values.size(0);
    return at::cat({values, at::zeros(shape, values.options())});
  }

  Ranks ranks_;
  std::int64_t rank_;
  std::int64_t size_;
  bool ring_;
  std::int64_t total_ = 0;
  std::int64_t longest_ = 0;
  std::int64_t all_rows_ = 0;
  double longest_x_ = 0.0;
  double longest_y_ = 0.0;
  std::vector<std::int64_t> begins_, rows_, columns_;
};

}  // namespace contrapunto::detail

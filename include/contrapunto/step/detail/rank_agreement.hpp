// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto::detail {

/// Returns a hash that is equal for two batches only if they hold the same samples, up to
/// collisions. It covers the keys or, if the source has no keys, the first MiB of the first tensor.
[[nodiscard]] inline std::int64_t batch_hash(const Batch& batch) {
  auto hash = hash_of({});
  for (const auto& key : batch.keys) hash = hash_of({key.data(), key.size() + 1}, hash);
  if (!batch.keys.empty() || batch.size() == 0) return hash;
  const auto& tensor = batch.tensors.begin()->second;
  constexpr std::int64_t kBytes = 1 << 20;
  const auto row =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(tensor.nbytes()) / tensor.size(0));
  const auto rows = std::clamp<std::int64_t>(kBytes / row, 1, tensor.size(0));
  const auto bytes = tensor.detach().narrow(0, 0, rows).cpu().contiguous();
  return hash_of({static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()}, hash);
}

/// Compares the state of the ranks to catch mistakes that would otherwise give wrong training
/// without an error. It compares at steps 1, 2, 4, 8, ... only, because the host has to wait for
/// the result.
class RankAgreement {
 public:
  explicit RankAgreement(std::string_view strategy) : strategy_(strategy) {}

  /// Call at the beginning of a step. Raises if two ranks have the same batch or if their weights
  /// differ.
  void begin(const Ranks& ranks, const Batch& batch, const std::vector<at::Tensor>& parameters) {
    ++steps_;
    due_ = ranks.size() > 1 && std::has_single_bit(static_cast<std::uint64_t>(steps_));
    if (!due_) return;
    const auto [sum, magnitude] = sum_of(parameters);
    const auto all =
        gather(ranks, {batch.size(), batch_hash(batch), std::bit_cast<std::int64_t>(sum)});
    for (std::size_t a = 0; a < all.size(); ++a)
      for (std::size_t b = a + 1; b < all.size(); ++b)
        TORCH_CHECK(all[a][0] == 0 || all[a][0] != all[b][0] || all[a][1] != all[b][1], strategy_,
                    ": ranks ", a, " and ", b, " have the same batch of ", all[a][0], " samples",
                    batch.keys.empty() ? std::string()
                                       : ", which begins with '" + batch.keys.front() + "' here",
                    "; give the loader the ranks (LoaderOptions::ranks), so that each rank reads "
                    "its own samples");
    for (std::size_t r = 1; r < all.size(); ++r) {
      const auto first = std::bit_cast<double>(all[0][2]);
      const auto other = std::bit_cast<double>(all[r][2]);
      // The sums may be rounded differently on different devices. NaN does not raise here.
      TORCH_CHECK(!(std::abs(first - other) > 1e-7 * magnitude), strategy_,
                  ": the weights of rank ", r, " differ from those of rank 0 before step ", steps_,
                  " (their sums are ", other, " and ", first,
                  "). Start from one model: broadcast_tensors_(model->parameters(), ranks). After "
                  "that use the same optimizer and learning rate on all ranks, and do not change "
                  "gradients by anything that only one rank knows");
    }
  }

  /// Call after the loss. Raises if its value differs between the ranks.
  void compare_loss(const Ranks& ranks, const at::Tensor& total) const {
    if (!due_) return;
    const auto all =
        gather(ranks, {std::bit_cast<std::int64_t>(total.detach().to(at::kDouble).item<double>())});
    for (std::size_t r = 1; r < all.size(); ++r) {
      const auto first = std::bit_cast<double>(all[0][0]);
      const auto other = std::bit_cast<double>(all[r][0]);
      TORCH_CHECK(
          first == other || (std::isnan(first) && std::isnan(other)), strategy_, ": the loss is ",
          other, " on rank ", r, " and ", first,
          " on rank 0, but every rank must return the loss of the whole batch. Either the loss "
          "was not given the ranks, as in TiledInfoNce loss({}, ranks), or it is a mean "
          "over this rank's samples: if each sample contributes independently, declare `static "
          "constexpr bool kSeparable = true` in the loss; otherwise see docs/guides/extending.md, "
          "\"A loss over ranks\"");
    }
  }

 private:
  /// Sum of all weights and sum of their absolute values.
  struct Sums {
    double sum = 0.0, magnitude = 0.0;
  };
  static Sums sum_of(const std::vector<at::Tensor>& parameters) {
    std::vector<at::Tensor> sums;
    for (const auto& parameter : parameters) {
      const auto values = parameter.detach();
      sums.push_back(at::stack({values.sum(at::kDouble), values.abs().sum(at::kDouble)}));
    }
    if (sums.empty()) return {};
    const auto total = at::stack(sums).sum(0).cpu();
    return {total[0].item<double>(), total[1].item<double>()};
  }

  static std::vector<std::vector<std::int64_t>> gather(const Ranks& ranks,
                                                       const std::vector<std::int64_t>& own) {
    const auto all = ranks.all_gather(at::tensor(own, at::kLong).to(ranks.device())).cpu();
    const auto width = static_cast<std::int64_t>(own.size());
    std::vector<std::vector<std::int64_t>> rows;
    for (std::int64_t r = 0; r < ranks.size(); ++r) {
      const auto* first = all.const_data_ptr<std::int64_t>() + r * width;
      rows.emplace_back(first, first + width);
    }
    return rows;
  }

  std::string strategy_;
  std::int64_t steps_ = 0;
  bool due_ = false;
};

}  // namespace contrapunto::detail

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/core/embeddings.hpp"
#include "loss/loss_oracle.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

namespace contrapunto::test {

/// Which of the [n, m] pairs do not count: those with the key of the row that are not its own pair.
inline at::Tensor excluded(const Embeddings& e) {
  const auto n = e.x.size(0);
  const auto m = n + (e.negatives ? e.negatives->size(0) : 0);
  auto mask = torch::zeros({n, m}, torch::kBool);
  if (!e.group_ids) return mask;
  const auto columns =
      e.negatives ? torch::cat({*e.group_ids, *e.negative_group_ids}) : *e.group_ids;
  mask = e.group_ids->unsqueeze(1) == columns.unsqueeze(0);
  mask.diagonal().fill_(false);
  return mask;
}

/// The matrix of all logits in the dtype of the features, as a plain implementation builds it.
inline at::Tensor dense_logits(const Embeddings& e) {
  const auto candidates = e.negatives ? torch::cat({e.y, *e.negatives}) : e.y;
  auto z = e.scale * e.x.mm(candidates.t());
  return e.bias ? z + *e.bias : z;
}

/// InfoNCE with negatives and keys from the whole matrix.
inline at::Tensor dense_info_nce(const Embeddings& e, bool symmetric) {
  const double none = -std::numeric_limits<double>::infinity();
  const auto n = e.x.size(0);
  const auto z = dense_logits(e).masked_fill(excluded(e), none);
  const auto rows = torch::logsumexp(z, {1}).mean() - z.diagonal().mean();
  if (!symmetric) return rows;
  const auto square = z.narrow(1, 0, n);
  return (rows + torch::logsumexp(square, {0}).mean() - square.diagonal().mean()) / 2;
}

inline at::Tensor dense_symmetric(const Embeddings& e) {
  return dense_info_nce(e, true);
}
inline at::Tensor dense_rows(const Embeddings& e) {
  return dense_info_nce(e, false);
}

/// The sigmoid loss with negatives and keys from the whole matrix.
inline at::Tensor dense_sigmoid(const Embeddings& e) {
  const auto z = dense_logits(e);
  auto signs = -torch::ones_like(z);
  signs.diagonal().fill_(1.0);
  const auto terms = (-torch::log_sigmoid(signs * z)).masked_fill(excluded(e), 0.0);
  return terms.sum() / e.x.size(0);
}

/// NT-Xent, or SupCon where there are keys, from the matrix of both views.
inline at::Tensor dense_views(const Embeddings& e) {
  const double none = -std::numeric_limits<double>::infinity();
  const auto b = e.x.size(0);
  const auto rows = torch::cat({e.x, e.y});
  const auto self = torch::eye(2 * b, torch::kBool);
  const auto z = (e.scale * rows.mm(rows.t()));
  const auto log_p = z - torch::logsumexp(z.masked_fill(self, none), {1}, true);
  const auto keys =
      e.group_ids ? torch::cat({*e.group_ids, *e.group_ids}) : torch::arange(b).repeat({2});
  const auto positive =
      (keys.unsqueeze(1) == keys.unsqueeze(0)).logical_and(self.logical_not()).to(z.scalar_type());
  return -((log_p * positive).sum(1) / positive.sum(1)).mean();
}

/// The tensors of `e` for which a loss has gradients.
inline std::vector<at::Tensor> inputs_of(const Embeddings& e) {
  std::vector<at::Tensor> inputs{e.x, e.y, e.scale};
  if (e.bias) inputs.push_back(*e.bias);
  if (e.negatives) inputs.push_back(*e.negatives);
  return inputs;
}

/// `e` as leaves in `dtype`.
inline Embeddings leaves(const Embeddings& e, at::ScalarType dtype) {
  const auto leaf = [&](const at::Tensor& t) {
    return t.detach().to(dtype).clone().requires_grad_(true);
  };
  Embeddings copy{leaf(e.x), leaf(e.y), leaf(e.scale)};
  if (e.bias) copy.bias = leaf(*e.bias);
  if (e.negatives) copy.negatives = leaf(*e.negatives);
  copy.group_ids = e.group_ids;
  copy.negative_group_ids = e.negative_group_ids;
  return copy;
}

struct LossResult {
  double value = 0.0;
  std::vector<at::Tensor> gradients;  ///< Gradients of `inputs_of`, in float64.
};

/// Value and gradients of `loss` at `e` in `dtype`; the loss is multiplied by `factor`.
template <class Loss>
LossResult evaluate(const Loss& loss, const Embeddings& e, at::ScalarType dtype,
                    double factor = 1.0) {
  const auto own = leaves(e, dtype);
  const at::Tensor value = loss(own);
  (value * factor).backward();
  LossResult result{value.item<double>(), {}};
  for (const auto& input : inputs_of(own))
    result.gradients.push_back(input.grad().defined() ? input.grad().to(torch::kDouble) / factor
                                                      : torch::zeros_like(input, torch::kDouble));
  return result;
}

/// The rows of `rank` of a batch of which `t` is a tensor. The parts are uneven, and some are empty
/// when there are few pairs.
inline at::Tensor part_of_rank(const at::Tensor& t, const ThreadRank& rank) {
  const auto ranks = rank.size();
  const auto begin = [&](std::int64_t r) { return t.size(0) * r * r / (ranks * ranks); };
  return t.narrow(0, begin(rank.rank()), begin(rank.rank() + 1) - begin(rank.rank()));
}

/// The same over `ranks` threads with uneven parts of the batch. Gradients of scale and bias are
/// summed, and those of the features are concatenated.
template <class MakeLoss>
LossResult evaluate_on_ranks(const MakeLoss& make_loss, const Embeddings& e, std::int64_t ranks) {
  std::vector<LossResult> results(static_cast<std::size_t>(ranks));
  run_thread_ranks(ranks, [&](const ThreadRank& rank) {
    const auto part = [&](const at::Tensor& t) { return part_of_rank(t, rank); };
    Embeddings own{part(e.x), part(e.y), e.scale, e.bias};
    if (e.negatives) own.negatives = part(*e.negatives);
    if (e.group_ids) own.group_ids = part(*e.group_ids);
    if (e.negative_group_ids) own.negative_group_ids = part(*e.negative_group_ids);
    results[static_cast<std::size_t>(rank.rank())] =
        evaluate(make_loss(rank), own, e.x.scalar_type());
  });
  LossResult whole{results.front().value, results.front().gradients};
  for (std::size_t r = 1; r < results.size(); ++r) {
    // All ranks must return the same value.
    if (results[r].value != whole.value) whole.value = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
      const auto& more = results[r].gradients[i];
      whole.gradients[i] =
          more.dim() == 0 ? whole.gradients[i] + more : torch::cat({whole.gradients[i], more});
    }
  }
  return whole;
}

/// Largest error of value and gradients, each relative to the largest expected entry or to `floor`,
/// whichever is larger: a gradient of zero is zero only up to rounding.
inline double worst_error(const LossResult& result, const LossResult& expected, double floor) {
  double worst = std::abs(result.value - expected.value) / std::max(1.0, std::abs(expected.value));
  if (std::isnan(result.value)) return result.value;
  for (std::size_t i = 0; i < result.gradients.size(); ++i) {
    if (result.gradients[i].numel() == 0) continue;
    const double largest = expected.gradients[i].abs().max().item<double>();
    const double difference =
        (result.gradients[i] - expected.gradients[i]).abs().max().item<double>();
    if (std::isnan(difference)) return difference;
    worst = std::max(worst, difference / std::max(largest, floor));
  }
  return worst;
}

}  // namespace contrapunto::test

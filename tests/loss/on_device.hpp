// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "loss/pair_oracle.hpp"

namespace contrapunto::test {

/// Features in float64 in which matching pairs are more similar than others, as after training.
inline Embeddings trained_pairs(std::int64_t n, double scale, std::int64_t width = 24) {
  torch::manual_seed(n);
  const auto x = unit_rows(n, width);
  const auto y = 0.3 * x + 0.7 * unit_rows(n, width);
  return {x, y / y.norm(2, {1}, true), torch::tensor(scale, torch::kDouble),
          torch::tensor(-5.0, torch::kDouble)};
}

/// The same with candidates that match no row, and with keys that some pairs share.
inline Embeddings with_candidates(Embeddings e) {
  const auto n = e.x.size(0);
  e.negatives = unit_rows(2 * n + 1, e.x.size(1));
  e.group_ids = torch::arange(n) % std::max<std::int64_t>(1, n - n / 4);
  e.negative_group_ids = torch::arange(2 * n + 1) % (3 * n);
  return e;
}

inline Embeddings without_bias(Embeddings e) {
  e.bias.reset();
  return e;
}

/// `e` on `device`.
inline Embeddings moved(Embeddings e, torch::Device device) {
  for (auto* tensor : {&e.x, &e.y, &e.scale}) *tensor = tensor->to(device);
  for (auto* tensor : {&e.bias, &e.negatives, &e.group_ids, &e.negative_group_ids})
    if (*tensor) *tensor = (*tensor)->to(device);
  return e;
}

/// Value and gradients of `loss` at `e` in `dtype` on `device`, the gradients on the CPU.
template <class Loss>
LossResult evaluate_on(torch::Device device, const Loss& loss, const Embeddings& e,
                       at::ScalarType dtype, double factor = 1.0) {
  auto result = evaluate(loss, moved(e, device), dtype, factor);
  for (auto& gradient : result.gradients) gradient = gradient.cpu();
  return result;
}

/// The losses as plain code under autocast computes them: the scale is multiplied into the
/// features, which are rounded; logits are rounded once more; the rest is float32.
inline at::Tensor autocast_logits(const Embeddings& e, const at::Tensor& columns,
                                  at::ScalarType products) {
  const auto z = (e.scale * e.x).to(products).mm(columns.to(products).t()).to(torch::kFloat);
  return e.bias ? z + *e.bias : z;
}

inline at::Tensor autocast_info_nce(const Embeddings& e, at::ScalarType products, bool symmetric) {
  const double none = -std::numeric_limits<double>::infinity();
  const auto n = e.x.size(0);
  const auto columns = e.negatives ? torch::cat({e.y, *e.negatives}) : e.y;
  const auto z = autocast_logits(e, columns, products).masked_fill(excluded(e), none);
  const auto rows = torch::logsumexp(z, {1}).mean() - z.diagonal().mean();
  if (!symmetric) return rows;
  const auto square = z.narrow(1, 0, n);
  return (rows + torch::logsumexp(square, {0}).mean() - square.diagonal().mean()) / 2;
}

inline at::Tensor autocast_sigmoid(const Embeddings& e, at::ScalarType products) {
  const auto columns = e.negatives ? torch::cat({e.y, *e.negatives}) : e.y;
  const auto z = autocast_logits(e, columns, products);
  auto signs = -torch::ones_like(z);
  signs.diagonal().fill_(1.0);
  return (-torch::log_sigmoid(signs * z)).masked_fill(excluded(e), 0.0).sum() / e.x.size(0);
}

inline at::Tensor autocast_views(const Embeddings& e, at::ScalarType products) {
  const auto b = e.x.size(0);
  const auto rows = torch::cat({e.x, e.y});
  const Embeddings both{rows, rows, e.scale};
  const auto z = autocast_logits(both, rows, products);
  const auto self = torch::eye(2 * b, torch::kBool);
  const auto logs =
      torch::logsumexp(z.masked_fill(self, -std::numeric_limits<double>::infinity()), {1});
  return logs.mean() - z.diagonal(b).mean();
}

}  // namespace contrapunto::test

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>

#include "contrapunto/core/embeddings.hpp"
#include "support/catch.hpp"

namespace contrapunto::test {

/// Unit rows [batch, width] in float64.
inline at::Tensor unit_rows(std::int64_t batch, std::int64_t width) {
  const auto x = torch::randn({batch, width}, torch::kDouble);
  return x / x.norm(2, {1}, /*keepdim=*/true);
}

/// An example whose losses were computed by hand: four pairs of three numbers.
inline Embeddings golden_embeddings(double scale) {
  const auto x = torch::tensor({{1., 0., 0.}, {0., 1., 0.}, {0., 0., 1.}, {1., 1., 0.}});
  const auto y = torch::tensor({{1., .5, 0.}, {0., 1., .5}, {.5, 0., 1.}, {1., 1., 1.}});
  const auto unit = [](const at::Tensor& t) {
    return (t / t.norm(2, {1}, /*keepdim=*/true)).to(torch::kFloat);
  };
  return {unit(x), unit(y), torch::tensor(scale, torch::kFloat), std::nullopt};
}

inline Embeddings random_embeddings(std::int64_t batch, std::int64_t width, double scale) {
  return {unit_rows(batch, width).to(torch::kFloat), unit_rows(batch, width).to(torch::kFloat),
          torch::tensor(scale, torch::kFloat), std::nullopt};
}

/// scale * <x_i, y_j> + bias by loops in float64.
inline double logit(const Embeddings& e, std::int64_t i, std::int64_t j) {
  const auto x = e.x.detach().to(torch::kDouble).contiguous();
  const auto y = e.y.detach().to(torch::kDouble).contiguous();
  double dot = 0.0;
  for (std::int64_t d = 0; d < x.size(1); ++d)
    dot += x.data_ptr<double>()[i * x.size(1) + d] * y.data_ptr<double>()[j * x.size(1) + d];
  return e.scale.item<double>() * dot + (e.bias ? e.bias->item<double>() : 0.0);
}

inline double info_nce_by_loops(const Embeddings& e) {
  const auto batch = e.x.size(0);
  double loss = 0.0;
  for (std::int64_t i = 0; i < batch; ++i) {
    double row = 0.0, column = 0.0;
    for (std::int64_t j = 0; j < batch; ++j) {
      row += std::exp(logit(e, i, j));
      column += std::exp(logit(e, j, i));
    }
    loss += (std::log(row) + std::log(column)) / 2 - logit(e, i, i);
  }
  return loss / static_cast<double>(batch);
}

inline double sigmoid_loss_by_loops(const Embeddings& e) {
  const auto batch = e.x.size(0);
  double loss = 0.0;
  for (std::int64_t i = 0; i < batch; ++i)
    for (std::int64_t j = 0; j < batch; ++j)
      loss += std::log1p(std::exp(i == j ? -logit(e, i, j) : logit(e, i, j)));
  return loss / static_cast<double>(batch);
}

/// Gradient of `oracle` with respect to `tensor`, which it reads, by central differences.
inline at::Tensor finite_differences(const std::function<double()>& oracle, at::Tensor tensor) {
  const double h = 1e-5;
  auto gradient = torch::zeros_like(tensor);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    auto element = tensor.view({-1})[i];
    const double value = element.item<double>();
    element.fill_(value + h);
    const double above = oracle();
    element.fill_(value - h);
    gradient.view({-1})[i] = (above - oracle()) / (2 * h);
    element.fill_(value);
  }
  return gradient;
}

/// Largest relative error of the float32 gradients of `loss` against finite differences of the
/// float64 `oracle`, over features, scale and bias.
template <class Loss>
double gradient_error(const Loss& loss, double (*oracle)(const Embeddings&), bool with_bias) {
  torch::manual_seed(5);
  Embeddings exact{unit_rows(5, 3), unit_rows(5, 3), torch::tensor(8.0, torch::kDouble),
                   std::nullopt};
  if (with_bias) exact.bias = torch::tensor(-2.0, torch::kDouble);
  const auto single = [](const at::Tensor& t) { return t.to(torch::kFloat).requires_grad_(true); };
  Embeddings e{single(exact.x), single(exact.y), single(exact.scale), std::nullopt};
  if (with_bias) e.bias = single(*exact.bias);
  loss(e).backward();
  const auto error = [&](const at::Tensor& result, const at::Tensor& input) {
    const auto expected = finite_differences([&] { return oracle(exact); }, input);
    return (result.grad().to(torch::kDouble) - expected).abs().max().template item<double>() /
           expected.abs().max().template item<double>();
  };
  double worst = std::max({error(e.x, exact.x), error(e.y, exact.y), error(e.scale, exact.scale)});
  if (with_bias) worst = std::max(worst, error(*e.bias, *exact.bias));
  return worst;
}

}  // namespace contrapunto::test

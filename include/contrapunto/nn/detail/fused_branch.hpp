// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <c10/core/ScalarType.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/nn/activation.hpp"

namespace contrapunto::detail {

/// The dtype in which a linear layer multiplies `x`: that of autocast if it is on, otherwise that
/// of `x`.
inline at::ScalarType product_dtype(const at::Tensor& x) {
  const auto type = x.device().type();
  return at::autocast::is_autocast_available(type) && at::autocast::is_autocast_enabled(type)
             ? at::autocast::get_autocast_dtype(type)
             : x.scalar_type();
}

/// Runs without a graph and without autocast, which both would only see parts of a fused pass.
class PlainScope {
  at::NoGradGuard no_grad_;
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

/// A layer norm with its statistics; see LayerNormImpl::forward for the dtypes.
struct NormedRows {
  NormedRows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
    const auto dtype = x.scalar_type();
    const bool mixes =
        dtype == weight.scalar_type() || (x.is_cpu() && weight.scalar_type() == at::kFloat &&
                                          (dtype == at::kBFloat16 || dtype == at::kHalf));
    input = mixes ? x : x.to(at::kFloat);
    norm_weight = mixes ? weight : weight.to(at::kFloat);
    norm_bias = mixes ? bias : bias.to(at::kFloat);
    std::tie(rows, mean, rstd) =
        at::native_layer_norm(input, weight.sizes(), norm_weight, norm_bias, eps);
    rows = rows.to(dtype);
  }

  /// Returns the gradients of x, of the weight and of the bias.
  [[nodiscard]] std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(
      const at::Tensor& gradient, std::array<bool, 3> wanted) const {
    return at::native_layer_norm_backward(gradient.to(input.scalar_type()), input,
                                          norm_weight.sizes(), mean, rstd, norm_weight, norm_bias,
                                          wanted);
  }

  at::Tensor input, norm_weight, norm_bias, rows, mean, rstd;
};

inline std::vector<bool> which_train(const std::vector<at::Tensor>& inputs) {
  std::vector<bool> trains;
  for (const auto& input : inputs) trains.push_back(input.requires_grad());
  return trains;
}

/// Returns layer_norm(x) W^T + b for `x` [N, width] and keeps only `x` for the backward, which
/// normalizes again. `bias` may be undefined.
inline at::Tensor norm_linear(const at::Tensor& x, const at::Tensor& norm_weight,
                              const at::Tensor& norm_bias, double eps, const at::Tensor& weight,
                              const at::Tensor& bias) {
  const auto dtype = product_dtype(x);
  std::vector<at::Tensor> inputs{x, norm_weight, norm_bias, weight};
  if (bias.defined()) inputs.push_back(bias);
  const auto trains = which_train(inputs);
  const auto out = [&] {
    const PlainScope plain;
    const auto rows = NormedRows(x, norm_weight, norm_bias, eps).rows.to(dtype);
    std::optional<at::Tensor> b;
    if (bias.defined()) b = bias.to(dtype);
    return at::linear(rows, weight.to(dtype), b);
  }();
  const auto gradient = [eps, dtype, trains](const std::vector<at::Tensor>& saved,
                                             const std::vector<at::Tensor>& gradients) {
    std::vector<at::Tensor> result(saved.size());
    const auto& g = gradients.front();
    if (!g.defined()) return result;
    const NormedRows normed(saved[0], saved[1], saved[2], eps);
    if (trains[0] || trains[1] || trains[2])
      std::tie(result[0], result[1], result[2]) =
          normed.backward(g.mm(saved[3].to(dtype)), {trains[0], trains[1], trains[2]});
    if (trains[3]) result[3] = g.t().mm(normed.rows.to(dtype)).to(saved[3].scalar_type());
    if (saved.size() > 4 && trains[4])
      result[4] = g.sum({0}, /*keepdim=*/false, saved[4].scalar_type());
    for (std::size_t i = 0; i < 3; ++i)
      if (result[i].defined()) result[i] = result[i].to(saved[i].scalar_type());
    return result;
  };
  return with_gradient(inputs, {out}, gradient).front();
}

/// What a residual branch is multiplied by before it is added.
struct BranchFactors {
  at::Tensor gamma = {};  ///< [width]; undefined: 1.
  at::Tensor kept = {};   ///< float32 [batch], 0 or 1 for each sample; undefined: 1.
  double scale = 1.0;     ///< Of all numbers.
};

/// The function before the last product of a branch: nothing, an activation, or the gate of a
/// SwiGluMlp.
struct BranchActivation {
  std::optional<Activation> activation = std::nullopt;
  bool gated = false;

  [[nodiscard]] at::Tensor operator()(const at::Tensor& z) const {
    if (gated) return gate(z);
    return activation ? activate(z, *activation) : z;
  }

  /// The gradient of z, from that of the result.
  [[nodiscard]] at::Tensor backward(const at::Tensor& gradient, const at::Tensor& z) const {
    if (gated) return gate_backward(gradient, z);
    return activation ? activate_backward(gradient, z, *activation) : gradient;
  }
};

/// Returns x + scale * kept * gamma * (act(z) W^T + b) for `x` [N, width] and `z` [N, inner], and
/// keeps only `z` and `x` for the backward. gamma and scale are multiplied into the weight, which
/// has fewer rows than the tokens, and its gradient gives that of gamma.
inline at::Tensor linear_residual(const at::Tensor& x, const at::Tensor& z,
                                  const BranchActivation& act, const at::Tensor& weight,
                                  const at::Tensor& bias, const BranchFactors& factors) {
  const auto dtype = product_dtype(z);
  const bool scales = factors.gamma.defined() || factors.scale != 1.0;
  std::vector<at::Tensor> inputs{x, z, weight, bias};
  if (factors.gamma.defined()) inputs.push_back(factors.gamma);
  const auto trains = which_train(inputs);
  const auto kept = factors.kept;
  const auto scale = factors.scale;
  const auto of_rows = [scale](const std::vector<at::Tensor>& saved) {  // [width]
    const auto wide = c10::promoteTypes(saved[2].scalar_type(), at::kFloat);
    if (saved.size() > 4) return saved[4].detach().to(wide) * scale;
    return at::full({saved[2].size(0)}, scale, saved[2].options().dtype(wide).requires_grad(false));
  };
  const auto scaled_weight = [=](const std::vector<at::Tensor>& saved) {
    return (scales ? saved[2] * of_rows(saved).unsqueeze(1) : saved[2]).to(dtype);
  };
  const auto by_sample = [kept](const at::Tensor& rows) {
    return rows.view({kept.size(0), -1, rows.size(1)});
  };
  const auto out = [&] {
    const PlainScope plain;
    const auto h = act(z.to(dtype));
    const auto w = scaled_weight(inputs);
    const auto b = (scales ? bias * of_rows(inputs) : bias);
    if (!kept.defined() && x.scalar_type() == dtype) return (x + b.to(dtype)).addmm_(h, w.t());
    auto branch = at::linear(h, w, b.to(dtype));
    if (!kept.defined()) return x + branch;
    if (x.scalar_type() != dtype) branch = branch.to(x.scalar_type());
    auto by_samples = by_sample(branch);
    at::addcmul_out(by_samples, by_sample(x), by_samples,
                    kept.to(x.scalar_type()).view({-1, 1, 1}));
    return branch;
  }();
  const auto gradient = [=](const std::vector<at::Tensor>& saved,
                            const std::vector<at::Tensor>& gradients) {
    std::vector<at::Tensor> result(saved.size());
    const auto& g = gradients.front();
    if (!g.defined()) return result;
    if (trains[0]) result[0] = g;
    auto narrow = g.to(dtype);
    if (kept.defined())
      narrow = (by_sample(narrow) * kept.to(dtype).view({-1, 1, 1})).view(narrow.sizes());
    const auto z_in = saved[1].to(dtype);
    if (trains[1]) {
      const auto dh = narrow.mm(scaled_weight(saved));
      result[1] = act.backward(dh, z_in).to(saved[1].scalar_type());
    }
    const bool gamma_trains = saved.size() > 4 && trains[4];
    if (trains[2] || gamma_trains) {
      const auto h = act(z_in);
      auto d_weight = narrow.t().mm(h).to(saved[2].scalar_type());
      if (gamma_trains) result[4] = (saved[2] * d_weight).sum(1) * scale;
      if (scales) d_weight.mul_(of_rows(saved).to(d_weight.scalar_type()).unsqueeze(1));
      if (trains[2]) result[2] = d_weight;
    }
    if (trains[3] || gamma_trains) {
      auto d_bias = narrow.sum({0}, /*keepdim=*/false, saved[3].scalar_type());
      if (gamma_trains)
        result[4] = (result[4] + saved[3] * d_bias * scale).to(saved[4].scalar_type());
      if (scales) d_bias.mul_(of_rows(saved).to(d_bias.scalar_type()));
      if (trains[3]) result[3] = d_bias;
    }
    return result;
  };
  return with_gradient(inputs, {out}, gradient).front();
}

}  // namespace contrapunto::detail

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace contrapunto::detail {

inline std::string list_of(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const auto number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

/// Returns the number that all layers share, or the numbers of all layers in parentheses.
inline std::string list_of_layers(const std::vector<std::int64_t>& numbers) {
  const bool alike = std::all_of(numbers.begin(), numbers.end(),
                                 [&](std::int64_t number) { return number == numbers.front(); });
  return alike ? std::to_string(numbers.front()) : "(" + list_of(numbers) + ")";
}

/// Returns the `count` units with the largest `importance`, in their order.
inline at::Tensor largest_units(const at::Tensor& importance, std::int64_t count) {
  return std::get<0>(std::get<1>(importance.topk(count)).sort());
}

/// Returns the sums of squares of `tensor` over all dimensions but `kept`, in float64 on the CPU.
inline at::Tensor energy(const at::Tensor& tensor, std::int64_t kept) {
  std::vector<std::int64_t> others;
  for (std::int64_t d = 0; d < tensor.dim(); ++d)
    if (d != kept) others.push_back(d);
  const auto squares = tensor.to(at::kDouble).cpu().square();
  return others.empty() ? squares : squares.sum(others);
}

/// Returns the rows of the heads `heads`, each of which has `width` rows.
inline at::Tensor rows_of_heads(const at::Tensor& heads, std::int64_t width) {
  return (heads.unsqueeze(1) * width + at::arange(width)).flatten();
}

/// Returns the leading part of `source` with the shape of `target`.
inline at::Tensor leading_part(const std::string& name, at::Tensor source,
                               const at::Tensor& target) {
  const auto shape = target.sizes();
  TORCH_CHECK(source.dim() == target.dim(), "inherit_weights: '", name, "' is ", source.sizes(),
              " in the source and ", shape, " in the model");
  for (std::int64_t d = 0; d < source.dim(); ++d) {
    TORCH_CHECK(shape[static_cast<std::size_t>(d)] <= source.size(d), "inherit_weights: '", name,
                "' is ", shape, " in the model, which is larger than ", source.sizes(),
                " in the source");
    TORCH_CHECK(d < 2 || shape[static_cast<std::size_t>(d)] == source.size(d),
                "inherit_weights: the kernel of '", name, "' is ", shape, " in the model and ",
                source.sizes(), " in the source; choose the same patch size");
    source = source.narrow(d, 0, shape[static_cast<std::size_t>(d)]);
  }
  return source;
}

}  // namespace contrapunto::detail

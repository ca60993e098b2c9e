// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "contrapunto/core/run_facts.hpp"

namespace contrapunto {

/// The number formats of a run. In every policy the statistics of norms, the logits, the loss and
/// the state of the optimizer are float32.
struct PrecisionPolicy {
  std::string name = "fp32";
  std::optional<at::ScalarType> autocast_dtype =
      std::nullopt;                          ///< Dtype of products under autocast; unset: off.
  at::ScalarType weight_dtype = at::kFloat;  ///< Dtype of weights except norms and scalars.
  bool loss_scaler = false;                  ///< Scale the loss because gradients could underflow.
  bool allow_tf32 = false;  ///< Float32 products on CUDA round their inputs to TF32, which has 11
                            ///< significant bits.

  /// The dtype of the factors of matrix products, such as those of the tiled losses.
  [[nodiscard]] at::ScalarType product_dtype() const {
    return autocast_dtype.value_or(weight_dtype);
  }

  /// The memory use of the policy. Norms and scalars are counted like other weights.
  [[nodiscard]] PrecisionFacts facts() const {
    const bool pure = weight_dtype != at::kFloat;
    PrecisionFacts facts{.name = name};
    facts.weight_bytes = pure ? 2.0 : autocast_dtype ? 6.0 : 4.0;  // Autocast keeps copies.
    if (pure) facts.gradient_bytes = 2.0;
    if (pure || autocast_dtype) facts.activation_bytes = 2.0;
    return facts;
  }
};

/// Returns the policy `name`. Raises for an unknown name with the list of known names.
///
/// | name      | weights        | products           | loss scaler | use                       |
/// | --------- | -------------- | ------------------ | ----------- | ------------------------- |
/// | fp32      | fp32           | fp32               | no          | reference                 |
/// | tf32      | fp32           | TF32 (CUDA)        | no          | what OpenCLIP calls fp32  |
/// | bf16      | fp32           | bf16 by autocast   | no          | the usual choice          |
/// | fp16      | fp32           | fp16 by autocast   | yes         | GPUs without bf16         |
/// | pure_bf16 | bf16 + masters | bf16               | no          | no casts of weights       |
[[nodiscard]] inline PrecisionPolicy precision_policy(std::string_view name) {
  const std::array<PrecisionPolicy, 5> policies{{
      {.name = "fp32"},
      {.name = "tf32", .allow_tf32 = true},
      {.name = "bf16", .autocast_dtype = at::kBFloat16, .allow_tf32 = true},
      {.name = "fp16", .autocast_dtype = at::kHalf, .loss_scaler = true, .allow_tf32 = true},
      {.name = "pure_bf16", .weight_dtype = at::kBFloat16, .allow_tf32 = true},
  }};
  std::string names;
  for (const auto& policy : policies) {
    if (policy.name == name) return policy;
    names += (names.empty() ? "" : ", ") + policy.name;
  }
  TORCH_CHECK(false, "precision_policy: there is no \"", name, "\"; choose one of ", names);
}

}  // namespace contrapunto

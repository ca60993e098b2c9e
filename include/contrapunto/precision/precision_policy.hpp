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

/// Which number formats a run computes in. Whatever it says, the statistics of norms, the logits,
/// the loss and the state of the optimizer are float32.
struct PrecisionPolicy {
  std::string name = "fp32";
  std::optional<at::ScalarType> autocast_dtype =
      std::nullopt;                          ///< Of products under autocast; unset: off.
  at::ScalarType weight_dtype = at::kFloat;  ///< Of weights but norms and scalars.
  bool loss_scaler = false;                  ///< Gradients would underflow: scale the loss.
  bool allow_tf32 = false;  ///< Float32 products on CUDA round their inputs to 11 bits.

  /// What matrix products take, such as those of the tiled losses.
  [[nodiscard]] at::ScalarType product_dtype() const {
    return autocast_dtype.value_or(weight_dtype);
  }

  /// What the policy costs in memory. Norms and single numbers are not told apart.
  [[nodiscard]] PrecisionFacts facts() const {
    const bool pure = weight_dtype != at::kFloat;
    PrecisionFacts facts{.name = name};
    facts.weight_bytes = pure ? 2.0 : autocast_dtype ? 6.0 : 4.0;  // autocast keeps copies
    if (pure) facts.gradient_bytes = 2.0;
    if (pure || autocast_dtype) facts.activation_bytes = 2.0;
    return facts;
  }
};

/// The policy called `name`; raises and lists the names for another one.
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

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/TensorOptions.h>

#include <cstdint>
#include <functional>

#include "contrapunto/nn/any_attention.hpp"
#include "contrapunto/nn/any_mlp.hpp"
#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/mlp.hpp"

namespace contrapunto {

/// Which attention and MLP the blocks of a transformer have, by layer, counted from 0. Each
/// function receives the options with which the default part would be created, and the device and
/// dtype of the parameters. It returns a custom part, or an empty one to use the default. An unset
/// function uses the default in every layer.
struct BlockParts {
  std::function<AnyAttention(std::int64_t layer, const AttentionOptions& usual,
                             const at::TensorOptions& tensor_options)>
      attention = {};
  std::function<AnyMlp(std::int64_t layer, const MlpOptions& usual,
                       const at::TensorOptions& tensor_options)>
      mlp = {};
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <map>
#include <string>
#include <variant>

namespace contrapunto {

using TensorMap = std::map<std::string, at::Tensor>;

/// The state of a part of a run that is needed to resume exactly: named tensors and scalars.
struct State {
  using Scalar = std::variant<std::int64_t, double, std::string>;

  TensorMap tensors = {};
  std::map<std::string, Scalar> scalars = {};

  /// Returns the number or text `name`. Raises if it is missing or of another type.
  template <class T>
  [[nodiscard]] const T& scalar(const std::string& name) const {
    const auto found = scalars.find(name);
    TORCH_CHECK(found != scalars.end(), "State: no scalar named '", name, "'");
    const T* value = std::get_if<T>(&found->second);
    TORCH_CHECK(value != nullptr, "State: scalar '", name, "' has another type than requested");
    return *value;
  }

  /// Returns the tensor `name`. Raises if it is missing.
  [[nodiscard]] const at::Tensor& tensor(const std::string& name) const {
    const auto found = tensors.find(name);
    TORCH_CHECK(found != tensors.end(), "State: no tensor named '", name, "'");
    return found->second;
  }
};

}  // namespace contrapunto

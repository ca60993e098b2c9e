// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace contrapunto::detail {

/// A tensor of a file that is written, with the name of its dtype in that format.
struct TypedTensor {
  const std::string* name;
  const at::Tensor* tensor;
  std::string_view type;
};

/// Looks up the dtype of `tensor` in `types`, pairs of a name and a dtype. Raises with `where` for
/// a tensor that is undefined or not dense, and with `lack`, the end of the sentence, for another
/// dtype.
template <class Types>
[[nodiscard]] TypedTensor typed_tensor(const std::string& where, const std::string& name,
                                       const at::Tensor& tensor, const Types& types,
                                       const char* lack) {
  TORCH_CHECK(tensor.defined(), where, "is undefined");
  TORCH_CHECK(tensor.layout() == at::kStrided, where, "is not a dense tensor");
  const auto type = std::find_if(types.begin(), types.end(), [&](const auto& known) {
    return known.second == tensor.scalar_type();
  });
  TORCH_CHECK(type != types.end(), where, "has dtype ", tensor.scalar_type(), lack);
  return {&name, &tensor, type->first};
}

}  // namespace contrapunto::detail

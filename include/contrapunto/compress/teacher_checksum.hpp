// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/step/with_teachers.hpp"

namespace contrapunto {

/// Returns a checksum of the parameters and buffers of `teacher` in their dtype. A store of its
/// embeddings belongs to these weights. It is 0 for a teacher that keeps its weights to itself,
/// such as one of plain functions.
[[nodiscard]] inline std::uint64_t teacher_checksum(const Teacher& teacher) {
  std::uint64_t sum = 0;
  for (const auto* tensors : {&teacher.model.parameters, &teacher.model.buffers})
    for (const auto& tensor : *tensors) {
      const auto plain = tensor.detach().cpu().contiguous();
      sum = checksum_of(
          std::string_view(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()), sum);
    }
  return sum;
}

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <utility>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

/// The mean squared difference between the features of the student and those of its teachers, over
/// all elements, images plus texts, and averaged over the teachers: CLIP-KD's FD. The gradient is
/// that of the batch of all ranks. If the widths differ, with_feature_maps() adds linear maps of
/// the student's features that are trained. Computed in at least float32. Raises without a teacher
/// and for widths that differ. Reference: Yang et al. 2024, https://arxiv.org/abs/2307.12732,
/// section 3.3
class FeatureDistillation {
 public:
  explicit FeatureDistillation(Ranks ranks = {}) : ranks_(std::move(ranks)) {}

  /// Returns the loss, []. Collective.
  [[nodiscard]] at::Tensor operator()(const DistilledEmbeddings& e) const {
    const NoAutocast no_autocast;
    TORCH_CHECK(!e.teachers.empty(), "FeatureDistillation: there is no teacher");
    const auto pairs_of_rank = static_cast<double>(e.student.x.size(0));
    at::Tensor sum;
    for (std::size_t k = 0; k < e.teachers.size(); ++k) {
      const auto& teacher = e.teachers[k];
      const auto x = at_least_float32(e.student_for(k).x), y = at_least_float32(e.student_for(k).y);
      TORCH_CHECK(teacher.x.sizes() == x.sizes() && teacher.y.sizes() == y.sizes(),
                  "FeatureDistillation: the student's features are ", x.sizes(), " and ", y.sizes(),
                  ", those of a teacher ", teacher.x.sizes(), " and ", teacher.y.sizes(),
                  "; map the student's to the width of the teacher with with_feature_maps()");
      const auto one = ((x - teacher.x.detach()).square().sum(at::kDouble) +
                        (y - teacher.y.detach()).square().sum(at::kDouble)) /
                       static_cast<double>(x.size(1));
      sum = sum.defined() ? sum + one : one;
    }
    auto pairs = at::full({}, pairs_of_rank, sum.options().requires_grad(false));
    ranks_.all_reduce_sum_(pairs);
    const auto mean = sum / (pairs * static_cast<double>(e.teachers.size()));
    return all_reduce_value(mean, ranks_).to(at_least_float32(e.student.x).scalar_type());
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  Ranks ranks_;
};
static_assert(LossOf<FeatureDistillation, DistilledEmbeddings>);

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cmath>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/loss/detail/weighted_terms.hpp"
#include "contrapunto/loss/loss_sum.hpp"

namespace contrapunto {

/// The weighted sum of the losses of several students, one for each, in their order; see
/// with_students(). A loss takes the student's embeddings with those of the teachers, or the
/// student's alone, and it may read the batch. It appears in the log under the name of the student,
/// without its weight, followed by its own parts as NAME/PART.
///
///   const StudentsLoss loss(WeightedLoss{"small", 1.0, small}, WeightedLoss{"tiny", 1.0, tiny});
template <class... Losses>
class StudentsLoss {
 public:
  /// Raises unless all weights are positive.
  explicit StudentsLoss(WeightedLoss<Losses>... students) : students_(std::move(students)...) {
    const auto check = [](const auto& student) {
      TORCH_CHECK(student.weight > 0.0 && std::isfinite(student.weight),
                  "StudentsLoss: the weight of '", student.name, "' is ", student.weight,
                  "; it must be positive");
    };
    std::apply([&](const auto&... student) { (check(student), ...); }, students_);
  }

  /// Returns the sum. Raises unless there are as many students as losses.
  [[nodiscard]] LossTerms operator()(const std::vector<DistilledEmbeddings>& inputs) const
      requires(...&& detail::kTermTakes<Losses, DistilledEmbeddings>) {
    return sum(inputs);
  }
  [[nodiscard]] LossTerms operator()(const std::vector<DistilledEmbeddings>& inputs,
                                     const Batch& batch) const
      requires(... && (detail::kTermTakes<Losses, DistilledEmbeddings> ||
                       detail::kTermTakes<Losses, DistilledEmbeddings, Batch>)) {
    return sum(inputs, batch);
  }

 private:
  template <class... More>
  [[nodiscard]] LossTerms sum(const std::vector<DistilledEmbeddings>& inputs,
                              const More&... batch) const {
    TORCH_CHECK(inputs.size() == sizeof...(Losses), "StudentsLoss: there are ", sizeof...(Losses),
                " losses for ", inputs.size(), " students; give one for each");
    detail::WeightedTerms sum;
    std::size_t i = 0;
    const auto add = [&](const auto& student) {
      sum.add(student.name, student.weight,
              detail::term_value(student.loss, inputs[i++], batch...));
    };
    std::apply([&](const auto&... student) { (add(student), ...); }, students_);
    return sum.take();
  }

  std::tuple<WeightedLoss<Losses>...> students_;
};

}  // namespace contrapunto

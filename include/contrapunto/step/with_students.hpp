// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/step/step_model.hpp"
#include "contrapunto/step/with_teachers.hpp"

namespace contrapunto {

/// Joins the step models of several students into one that trains them side by side on the same
/// batches, with teachers that run once per step for all of them, in the chunks of the step
/// strategy. There may be no teacher. The loss takes the embeddings of each student with those of
/// the teachers, in the order of `students`; see StudentsLoss. The students may share modules, and
/// they may read other tensors of the batch. With weights of 1 each student gets the gradient that
/// it would get alone, apart from the random numbers of dropout. Raises without a student.
/// Reference: Chuang et al. 2025, https://arxiv.org/abs/2507.22062
[[nodiscard]] inline StepModel<std::vector<DistilledEmbeddings>> with_students(
    std::vector<StepModel<>> students, std::vector<Teacher> teachers) {
  TORCH_CHECK(!students.empty(), "with_students: there is no student");
  const auto add = [](std::vector<at::Tensor>& all, const std::vector<at::Tensor>& more) {
    for (const auto& tensor : more)
      if (std::none_of(all.begin(), all.end(),
                       [&](const auto& one) { return one.is_same(tensor); }))
        all.push_back(tensor);
  };
  const auto first = with_teachers(students.front(), std::move(teachers));
  students.erase(students.begin());
  StepModel<std::vector<DistilledEmbeddings>> step{
      .encoders = first.encoders, .parameters = first.parameters, .buffers = first.buffers};
  for (const auto& student : students) {
    step.encoders.insert(step.encoders.end(), student.encoders.begin(), student.encoders.end());
    add(step.parameters, student.parameters);
    add(step.buffers, student.buffers);
  }
  step.head = [first, students = std::move(students)](const std::vector<Features>& features,
                                                      const Batch& batch) {
    auto begin = features.begin();
    const auto take = [&](std::size_t count) {
      const auto end = begin + static_cast<std::ptrdiff_t>(count);
      return std::vector<Features>(std::exchange(begin, end), end);
    };
    std::vector<DistilledEmbeddings> result{first.head(take(first.encoders.size()), batch)};
    for (const auto& student : students)
      result.push_back({.student = student.head(take(student.encoders.size()), batch),
                        .teachers = result.front().teachers});
    return result;
  };
  return step;
}

}  // namespace contrapunto

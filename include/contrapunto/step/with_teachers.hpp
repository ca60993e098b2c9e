// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Device.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

/// Makes `module` a teacher: its parameters need no gradient, and it is in eval mode, in which
/// batch norm does not change and dropout is off.
inline void freeze_teacher(torch::nn::Module& module) {
  for (auto& parameter : module.parameters()) parameter.set_requires_grad(false);
  module.eval();
}

/// A model that a student learns from, as pair_step_model() makes it from any two towers. Its
/// encoders may read other tensors of the batch than those of the student, for example images of
/// another size; see PairStepOptions.
struct Teacher {
  StepModel<> model = {};
  PrecisionPolicy precision = {};  ///< Of the teacher's forward, whatever that of the student is.
  at::Device device = at::kCPU;
};

/// Adds teachers to the step model of a student; the loss takes `DistilledEmbeddings`. A step runs
/// each teacher once, in the chunks of the step strategy and without a graph, also under GradCache.
/// Freeze the teachers with freeze_teacher(). Only the student's parameters are trained.
[[nodiscard]] inline StepModel<DistilledEmbeddings> with_teachers(StepModel<> student,
                                                                  std::vector<Teacher> teachers) {
  StepModel<DistilledEmbeddings> step;
  step.encoders = student.encoders;
  for (const auto& teacher : teachers)
    for (auto encoder : teacher.model.encoders) {
      encoder.forward = [forward = encoder.forward, precision = teacher.precision,
                         device = teacher.device](const at::Tensor& slice) {
        const at::NoGradGuard no_grad;
        const AutocastGuard autocast(precision, device);
        return forward(slice);
      };
      step.encoders.push_back(std::move(encoder));
    }
  step.parameters = student.parameters;
  step.buffers = student.buffers;
  step.head = [student = std::move(student), teachers = std::move(teachers)](
                  const std::vector<Features>& features, const Batch& batch) {
    std::size_t first = 0;
    const auto embeddings = [&](const StepModel<>& model) {
      const auto begin = features.begin() + static_cast<std::ptrdiff_t>(first);
      first += model.encoders.size();
      return model.head({begin, begin + static_cast<std::ptrdiff_t>(model.encoders.size())}, batch);
    };
    DistilledEmbeddings result{.student = embeddings(student)};
    const at::NoGradGuard no_grad;
    for (const auto& teacher : teachers) result.teachers.push_back(embeddings(teacher.model));
    return result;
  };
  return step;
}

}  // namespace contrapunto

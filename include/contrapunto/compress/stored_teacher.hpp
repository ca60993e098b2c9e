// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/compress/teacher_checksum.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/data/teacher_feature_names.hpp"
#include "contrapunto/data/teacher_store.hpp"
#include "contrapunto/step/step_model.hpp"
#include "contrapunto/step/with_teachers.hpp"

namespace contrapunto {

/// Makes a teacher of a store that a loader has opened (DataLoader::teacher_stores). It computes
/// nothing: its encoders only move the embeddings that the loader put into the batch to `device`.
/// `number` is the number of the store in the loader.
///
/// If the store lacks the images or the texts, `online` computes them in the step. Raises if it is
/// needed and not given, and if its weights are not those of the store.
[[nodiscard]] inline Teacher stored_teacher(const TeacherStore& store, std::int64_t number,
                                            at::Device device,
                                            const std::optional<Teacher>& online = std::nullopt) {
  const TeacherStoreInfo& info = store.info();
  const bool is_whole = info.images() && info.texts;
  TORCH_CHECK(is_whole || online, "teacher store '", store.folder().string(), "' has no ",
              info.texts ? "images" : "texts",
              ", and no teacher is given that computes their embeddings; pass the teacher too, or "
              "build a store of both");
  Teacher teacher{.device = device};
  if (online) {
    const auto checksum = teacher_checksum(*online);
    TORCH_CHECK(checksum == info.weights_checksum, "teacher store '", store.folder().string(),
                "' was built with weights of checksum ", detail::as_hex(info.weights_checksum),
                ", but those of the given teacher have ", detail::as_hex(checksum),
                "; use the weights and the weight dtype of the store, or build another store");
    TORCH_CHECK(online->model.encoders.size() == 2, "stored_teacher: a teacher with ",
                online->model.encoders.size(), " encoders cannot be combined with a store");
    teacher = *online;
  } else {
    teacher.model.encoders.resize(2);
    teacher.model.head = [info, device](const std::vector<Features>& features, const Batch&) {
      const auto scalar = [&](double value) {
        return at::scalar_tensor(value, at::TensorOptions().dtype(at::kFloat).device(device));
      };
      Embeddings e{features[0].tensors.front(), features[1].tensors.front(), scalar(info.scale)};
      if (info.bias) e.bias = scalar(*info.bias);
      return e;
    };
  }
  const auto from_batch = [device](std::string name) {
    return Encoder{.input = std::move(name), .forward = [device](const at::Tensor& slice) {
                     return Features(slice.to(device, at::kFloat, /*non_blocking=*/true));
                   }};
  };
  if (info.images()) teacher.model.encoders[0] = from_batch(teacher_image_features(number));
  if (info.texts) teacher.model.encoders[1] = from_batch(teacher_text_features(number));
  return teacher;
}

/// Adds teachers to the step model of a student, as with_teachers() does, whose embeddings are all
/// stored; `stores` are those of the loader.
[[nodiscard]] inline StepModel<DistilledEmbeddings> with_stored_teachers(
    StepModel<> student, const std::vector<std::shared_ptr<const TeacherStore>>& stores,
    at::Device device) {
  std::vector<Teacher> teachers;
  for (const auto& store : stores)
    teachers.push_back(stored_teacher(*store, static_cast<std::int64_t>(teachers.size()), device));
  return with_teachers(std::move(student), std::move(teachers));
}

}  // namespace contrapunto

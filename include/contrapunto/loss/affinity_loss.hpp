// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"
#include "contrapunto/loss/detail/soft_cross_entropy.hpp"
#include "contrapunto/loss/tile_options.hpp"

namespace contrapunto {

struct AffinityLossOptions {
  /// `keep_bytes` is ignored, because the backward computes nothing. Three tiles are in memory at
  /// once, or four with several teachers.
  TileOptions tiles = {};
  /// Scale of the student's logits. Unset: its own, which is learned. TinyCLIP sets all to 50.
  std::optional<double> student_scale = std::nullopt;
  /// Scale of each teacher's logits, one number per teacher. Empty: each teacher's own.
  std::vector<double> teacher_scales = {};
  /// The teachers' logits have the scale of the student, which gets no gradient from them.
  bool share_student_scale = false;
  /// Weights of the teachers in the targets; they are divided by their sum. Empty: all equal.
  std::vector<double> teacher_weights = {};
  /// Subtract the entropy of the targets, which makes the loss the Kullback-Leibler divergence. Its
  /// gradient is the same, and it is 0 if the student equals its teacher.
  bool subtract_entropy = false;
  /// On: with several ranks the texts are passed from rank to rank, and the memory does not grow
  /// with the number of ranks. Off: those of all ranks are gathered in one collective.
  bool ring = false;
};

/// Affinity mimicking: the cross-entropy of the student's similarities with those of its teachers,
/// in both directions. Row i of the student's logits is a distribution over all texts of the batch,
/// and its target is the mean of the teachers' distributions; the same holds for each text over all
/// images. The loss is the mean over pairs and directions, as that of open_clip's DistillClipLoss,
/// CLIP-KD's CRD and MobileCLIP.
///
/// The batch is that of all ranks, and it is processed tile by tile: neither the student's nor a
/// teacher's matrix of similarities exists, and the memory is O(B D) in addition to the features.
/// The teachers get no gradient. The rules of `TiledInfoNce` for ranks, dtypes and gradients apply.
/// The parts "cross_entropy" and "target_entropy" are logged, whichever of them the loss has.
/// Raises without a teacher, for shapes that do not fit, and for negatives.
/// Reference: Wu et al. 2023, https://arxiv.org/abs/2309.12314, section 3.1
class AffinityLoss {
 public:
  explicit AffinityLoss(AffinityLossOptions options = {}, Ranks ranks = {})
      : o_(std::move(options)), ranks_(std::move(ranks)) {
    for (const double scale : o_.teacher_scales)
      TORCH_CHECK(scale > 0, "AffinityLoss: teacher_scales must be positive, got ", scale);
    for (const double weight : o_.teacher_weights)
      TORCH_CHECK(weight >= 0, "AffinityLoss: teacher_weights must not be negative, got ", weight);
    TORCH_CHECK(!o_.student_scale || *o_.student_scale > 0,
                "AffinityLoss: student_scale must be positive, got ", o_.student_scale.value_or(0));
    TORCH_CHECK(o_.teacher_scales.empty() || !o_.share_student_scale,
                "AffinityLoss: teacher_scales and share_student_scale exclude each other");
  }

  /// Returns the loss, []. Collective.
  [[nodiscard]] LossTerms operator()(const DistilledEmbeddings& e) const {
    const auto count = e.teachers.size();
    TORCH_CHECK(count > 0, "AffinityLoss: there is no teacher");
    check_count(o_.teacher_scales.size(), count, "teacher_scales");
    check_count(o_.teacher_weights.size(), count, "teacher_weights");
    const detail::LossInputs in(e.student, "AffinityLoss");
    TORCH_CHECK(!e.student.negatives, "AffinityLoss: the teachers have no embeddings of negatives");
    const auto fixed = [&](double value) {
      return at::full({}, value, in.x.options().requires_grad(false));
    };
    const auto scale = o_.student_scale ? fixed(*o_.student_scale) : in.scale;
    const double sum = o_.teacher_weights.empty() ? static_cast<double>(count)
                                                  : std::accumulate(o_.teacher_weights.begin(),
                                                                    o_.teacher_weights.end(), 0.0);
    TORCH_CHECK(sum > 0, "AffinityLoss: the sum of teacher_weights is 0");
    std::vector<detail::ModelFeatures> models{
        {.x = in.x.detach(), .y = in.y.detach(), .scale = scale.detach()}};
    for (std::size_t k = 0; k < count; ++k) {
      const detail::LossInputs teacher(e.teachers[k], "AffinityLoss, teacher");
      TORCH_CHECK(teacher.x.size(0) == in.x.size(0), "AffinityLoss: teacher ", k, " has ",
                  teacher.x.size(0), " pairs and the student ", in.x.size(0));
      const auto kind = in.x.scalar_type();
      const auto its_scale = o_.share_student_scale      ? scale
                             : o_.teacher_scales.empty() ? teacher.scale
                                                         : fixed(o_.teacher_scales[k]);
      models.push_back(
          {.x = teacher.x.detach().to(kind),
           .y = teacher.y.detach().to(kind),
           .scale = its_scale.detach(),
           .weight = (o_.teacher_weights.empty() ? 1.0 : o_.teacher_weights[k]) / sum});
    }
    const auto share = detail::soft_cross_entropy({in.x, in.y, scale}, std::move(models), o_.ring,
                                                  o_.tiles, ranks_);
    return share.terms(o_.subtract_entropy, in.x.scalar_type(), ranks_);
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  static void check_count(std::size_t given, std::size_t teachers, const char* name) {
    TORCH_CHECK(given == 0 || given == teachers, "AffinityLoss: ", name, " has ", given,
                " numbers for ", teachers, " teachers");
  }

  AffinityLossOptions o_;
  Ranks ranks_;
};
static_assert(LossOf<AffinityLoss, DistilledEmbeddings>);

}  // namespace contrapunto

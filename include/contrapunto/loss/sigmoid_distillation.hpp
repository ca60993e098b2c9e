// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/xlogy.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/distilled_pairs.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"
#include "contrapunto/loss/tile_options.hpp"

namespace contrapunto {

struct SigmoidDistillationOptions {
  TileOptions tiles = {};  ///< `keep_bytes` is ignored, because nothing has to be kept.
  /// Subtract the entropy of the targets; see AffinityLossOptions::subtract_entropy.
  bool subtract_entropy = false;
  bool ring = true;  ///< See TiledSigmoidLossOptions::ring.
};

/// The binary cross-entropy of every pair of the batch: with the logit l = scale <x_i, y_j> + bias
/// of the student and the mean q of the teachers' sigmoids, the sum of -q log sigmoid(l) - (1 - q)
/// log sigmoid(-l) over all pairs, divided by the number of rows. It is the sigmoid loss with soft
/// targets, for models that were trained with it. Student and teachers need a bias. Tiles, ranks,
/// dtypes and logged parts are those of `AffinityLoss`; nothing is normalized over the batch, so
/// there is one pass over the tiles. Raises without a teacher, without a bias, for shapes that do
/// not fit, and for negatives.
class SigmoidDistillation {
 public:
  explicit SigmoidDistillation(const SigmoidDistillationOptions& options = {}, Ranks ranks = {})
      : o_(options), ranks_(std::move(ranks)) {}

  /// Returns the loss, []. Collective.
  [[nodiscard]] LossTerms operator()(const DistilledEmbeddings& e) const {
    TORCH_CHECK(!e.teachers.empty(), "SigmoidDistillation: there is no teacher");
    const detail::LossInputs in(e.student, "SigmoidDistillation");
    TORCH_CHECK(!e.student.negatives,
                "SigmoidDistillation: the teachers have no embeddings of negatives");
    const auto bias = bias_of(e.student, "the student");
    const auto kind = in.x.scalar_type();
    std::vector<detail::ModelFeatures> models{{.x = in.x.detach(),
                                               .y = in.y.detach(),
                                               .scale = in.scale.detach(),
                                               .bias = bias.detach()}};
    for (const auto& one : e.teachers) {
      const detail::LossInputs teacher(one, "SigmoidDistillation, teacher");
      TORCH_CHECK(teacher.x.size(0) == in.x.size(0), "SigmoidDistillation: a teacher has ",
                  teacher.x.size(0), " pairs and the student ", in.x.size(0));
      models.push_back({.x = teacher.x.detach().to(kind),
                        .y = teacher.y.detach().to(kind),
                        .scale = teacher.scale.detach(),
                        .bias = bias_of(one, "a teacher").detach(),
                        .weight = 1.0 / static_cast<double>(e.teachers.size())});
    }
    const auto share = sweep({in.x, in.y, e.student.scale, bias}, std::move(models));
    return share.terms(o_.subtract_entropy, kind, ranks_);
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  [[nodiscard]] static at::Tensor bias_of(const Embeddings& e, const char* whose) {
    TORCH_CHECK(e.bias.has_value() && e.bias->numel() == 1,
                "SigmoidDistillation: the embeddings "
                "of ",
                whose,
                " need a bias of one number; only models that were trained with the "
                "sigmoid loss have one. Use AffinityLoss for others");
    return *e.bias;
  }

  [[nodiscard]] detail::DistilledShare sweep(const std::vector<at::Tensor>& student,
                                             std::vector<detail::ModelFeatures> models) const {
    const bool differentiable = records_gradient(student);
    at::Tensor value, entropy, dbias;
    detail::DistilledPairs::Gradients gradients;
    {
      const at::NoGradGuard no_grad;
      const detail::DistilledPairs pairs(std::move(models), o_.ring, o_.tiles, ranks_);
      value = at::zeros({}, pairs.where().dtype(at::kDouble));
      entropy = at::zeros_like(value);
      dbias = at::zeros_like(value);
      const auto share = 1.0 / static_cast<double>(pairs.all_rows());
      detail::TileMemory memory;
      gradients = pairs.for_each(differentiable, share, [&](detail::DistilledPairs::View& view) {
        auto& s = view.student;
        memory.fit(s, 2);
        auto targets = memory[0], z = memory[1];
        targets.zero_();
        for (std::size_t k = 1; k < pairs.models().size(); ++k) {
          view.logits(k, z);
          targets.add_(z.sigmoid_(), pairs.models()[k].weight);
        }
        entropy.sub_(at::xlogy(targets, targets).sum(at::kDouble));
        z.copy_(targets).neg_().add_(1.0);
        entropy.sub_(z.xlogy_(z).sum(at::kDouble));
        value.add_(detail::softplus_of(s).sum(at::kDouble));
        value.sub_(at::mul_out(z, s, targets).sum(at::kDouble));
        if (!differentiable) return;
        s.sigmoid_().sub_(targets);
        dbias.add_(s.sum(at::kDouble));
      });
      for (auto* sum : {&value, &entropy, &dbias}) sum->mul_(share);
    }
    const auto gradient = times_output_gradient({gradients.x, gradients.y, gradients.scale, dbias});
    return {with_gradient(student, {value}, gradient).front(), entropy};
  }

  SigmoidDistillationOptions o_;
  Ranks ranks_;
};
static_assert(LossOf<SigmoidDistillation, DistilledEmbeddings>);

}  // namespace contrapunto

// SPDX-License-Identifier: CC0-1.0
// Distillation: a small student learns the similarities of a larger frozen teacher (affinity
// mimicking) beside the contrastive loss, and the features themselves through a linear map that is
// trained, because the widths differ. The teacher runs once per step, in chunks and without a
// graph, and the gradient is exact under GradCache too. Expect an affinity loss that falls towards
// the entropy of the teacher, and a falling distance of the features.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

cp::DualEncoder make_model(std::int64_t width) {
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{.image_size = 32,
                                              .patch_size = 8,
                                              .width = width,
                                              .layers = 2,
                                              .heads = 2,
                                              .output_dim = width};
  config.text = {.context_length = 16, .vocab_size = 512, .width = width, .heads = 2, .layers = 2};
  config.embed_dim = config.text.output_dim = width;
  return cp::make_dual_encoder(config);
}

int main() {
  torch::manual_seed(1);
  cp::DualEncoder student = make_model(32), teacher = make_model(64);

  // snippet: distillation
  // Any two towers can teach, with their own width, inputs and precision.
  cp::freeze_teacher(*teacher);
  const auto pupil = cp::with_teachers(cp::pair_step_model(student, torch::kCPU),
                                       {{.model = cp::pair_step_model(teacher, torch::kCPU)}});
  // Losses that compare features need maps where the widths differ.
  const cp::FeatureMaps maps(32, std::vector<std::int64_t>{64});
  const auto model = cp::with_feature_maps(pupil, maps);
  const double alpha = 0.5;
  const cp::LossSum loss(cp::WeightedLoss{"contrastive", 1 - alpha, cp::TiledInfoNce()},
                         cp::WeightedLoss{"affinity", alpha, cp::AffinityLoss()},
                         cp::WeightedLoss{"features", 20.0, cp::FeatureDistillation()});
  cp::GradCache compute_gradients(model, loss, {.chunk_size = 8});
  // snippet end

  auto groups = cp::decay_groups(*student, 0.1);
  for (const auto& group : cp::decay_groups(*maps, 0.1)) groups.push_back(group);
  cp::AdamW optimizer(groups);
  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({32, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {32, 16})}};
  std::vector<double> first, last;
  for (int step = 0; step < 30; ++step) {
    optimizer.zero_grad();
    cp::StepRecord record{.step = step};
    record.add(compute_gradients(batch));
    optimizer.step(2e-3);
    last = {*record.find("loss/affinity"), *record.find("loss/features")};
    if (step == 0) first = last;
    if (step % 10 == 0)
      std::cout << "step " << step << ": affinity " << last[0] << ", entropy of the teacher "
                << *record.find("loss/affinity/target_entropy") << ", distance of the features "
                << last[1] << "\n";
  }
  return last[0] < first[0] && last[1] < first[1] ? 0 : 1;
}

// SPDX-License-Identifier: CC0-1.0
// Several students of one teacher: two models of different size are trained on the same batches,
// and the teacher runs once per step for both. Each student gets the gradient that it would get
// alone. Expect two affinity losses that fall towards the entropy of the teacher.
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
  cp::DualEncoder small = make_model(32), tiny = make_model(16), teacher = make_model(64);
  cp::freeze_teacher(*teacher);

  // snippet: several_students
  const auto step_of = [](const cp::DualEncoder& model) {
    return cp::pair_step_model(model, torch::kCPU);
  };
  const cp::LossSum loss(cp::WeightedLoss{"contrastive", 0.5, cp::TiledInfoNce()},
                         cp::WeightedLoss{"affinity", 0.5, cp::AffinityLoss()});
  cp::GradCache compute_gradients(
      cp::with_students({step_of(small), step_of(tiny)}, {{.model = step_of(teacher)}}),
      cp::StudentsLoss(cp::WeightedLoss{"small", 1.0, loss}, cp::WeightedLoss{"tiny", 1.0, loss}),
      {.chunk_size = 8});
  // Each student has its own optimizer, and could have its own schedule and clipping.
  cp::AdamW small_optimizer(cp::decay_groups(*small, 0.1));
  cp::AdamW tiny_optimizer(cp::decay_groups(*tiny, 0.1));
  // snippet end

  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({32, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {32, 16})}};
  std::vector<double> first, last;
  for (int step = 0; step < 30; ++step) {
    small_optimizer.zero_grad();
    tiny_optimizer.zero_grad();
    cp::StepRecord record{.step = step};
    record.add(compute_gradients(batch));
    small_optimizer.step(2e-3);
    tiny_optimizer.step(4e-3);
    last = {*record.find("loss/small/affinity"), *record.find("loss/tiny/affinity")};
    if (step == 0) first = last;
    if (step % 10 == 0)
      std::cout << "step " << step << ": affinity of small " << last[0] << ", of tiny " << last[1]
                << "\n";
  }
  return last[0] < first[0] && last[1] < first[1] ? 0 : 1;
}

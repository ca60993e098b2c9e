// SPDX-License-Identifier: CC0-1.0
// A loss of your own: a callable that takes the embeddings of the batch. Expect its parts by name,
// and the same gradient with the whole batch in memory and in chunks.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: own_loss
/// InfoNCE, and a penalty that keeps the mean feature near zero.
struct CenteredInfoNce {
  double weight = 0.1;

  cp::LossTerms operator()(const cp::Embeddings& e) const {
    const auto contrastive = cp::TiledInfoNce()(e);
    const auto center = e.x.mean(0).square().sum() + e.y.mean(0).square().sum();
    return {contrastive + weight * center, {{"contrastive", contrastive}, {"center", center}}};
  }
};
// snippet end

int main() {
  torch::manual_seed(1);
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{
      .image_size = 32, .patch_size = 8, .width = 64, .layers = 2, .heads = 2, .output_dim = 32};
  config.text = {.context_length = 16, .vocab_size = 512, .width = 64, .heads = 2, .layers = 2};
  config.embed_dim = config.text.output_dim = 32;
  cp::DualEncoder model = cp::make_dual_encoder(config);
  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({48, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {48, 16})}};

  const auto parts = cp::pair_step_model(model, torch::kCPU);
  cp::FullBatch whole(parts, CenteredInfoNce{});
  cp::GradCache cached(parts, CenteredInfoNce{.weight = 0.1}, {.chunk_size = 8});
  cp::StepRecord record{.step = 1};
  record.add(whole(batch));
  for (const auto& [name, value] : record.values) std::cout << name << " " << value << "\n";
  const auto expected = model->logit_scale.grad().item<double>();
  model->zero_grad();
  cached(batch);
  const auto difference = std::abs(model->logit_scale.grad().item<double>() - expected);
  std::cout << "difference of the gradients: " << difference << "\n";
  return difference < 1e-5 * std::abs(expected) + 1e-7 ? 0 : 1;
}

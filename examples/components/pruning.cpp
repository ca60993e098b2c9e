// SPDX-License-Identifier: CC0-1.0
// Automatic weight inheritance: masks over the residual stream, the heads and the hidden units of
// both towers learn in training which 40 % of the weights to give up; then the units that are left
// become a smaller model, with the moments of the optimizer. Expect a model of about 60 % of the
// size whose outputs are those of the masked model.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

int main() {
  torch::manual_seed(1);
  cp::ModelConfig config;
  config.name = "small";
  config.image = cp::VisionTransformerOptions{
      .image_size = 32, .patch_size = 8, .width = 64, .layers = 3, .heads = 4, .output_dim = 32};
  config.text = {.context_length = 16,
                 .vocab_size = 512,
                 .width = 64,
                 .heads = 4,
                 .layers = 3,
                 .output_dim = 32};
  config.embed_dim = 32;
  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({32, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {32, 16})}};

  cp::DualEncoder model = cp::make_dual_encoder(config);
  cp::AdamW optimizer(cp::decay_groups(*model, 0.1));  // before the masks, which are no weights
  // snippet: masks
  cp::PruningMasks masks(model, config, {.target_sparsity = 0.4, .ramp_steps = 100, .lr = 0.1});
  cp::GradCache compute_gradients(cp::pair_step_model(model, torch::kCPU), cp::TiledInfoNce(),
                                  {.chunk_size = 16});
  for (int step = 0; step < 150; ++step) {
    optimizer.zero_grad();
    masks.sample_(step);
    const auto terms = compute_gradients(batch);
    optimizer.step(1e-3);
    masks.update_(step);
    if (step % 30 == 29)
      std::cout << "step " << step + 1 << ", loss " << terms.total.item<double>() << ", sparsity "
                << masks.expected_sparsity() << " of " << masks.target(step) << "\n";
  }

  masks.fix_();
  const cp::Extraction extraction(masks, config);
  cp::DualEncoder smaller = extraction.model(model);
  cp::AdamW next(cp::decay_groups(*smaller, 0.1));
  next.load_state(extraction.optimizer_state(optimizer.save_state()));
  // snippet end
  for (const auto& line : extraction.report()) std::cout << line << "\n";

  model->eval();
  smaller->eval();
  const torch::NoGradGuard no_grad;
  const auto difference =
      (model->encode_image(batch.at("image")) - smaller->encode_image(batch.at("image")))
          .abs()
          .max()
          .item<double>();
  std::cout << cp::parameter_count(*smaller) << " of " << cp::parameter_count(*model)
            << " parameters, features differ by " << difference << "\n";
  return masks.expected_sparsity() > 0.35 && difference < 1e-5 ? 0 : 1;
}

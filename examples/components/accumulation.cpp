// SPDX-License-Identifier: CC0-1.0
// Accumulation: for a loss that is a mean over samples, micro-batches one after the other give the
// gradient of the whole batch. The mean of contrastive losses of micro-batches does not, because
// they have fewer negatives. Accumulator computes the exact gradient in both cases. Expect two
// equal gradients of the scale and a third one that differs.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

int main() {
  torch::manual_seed(1);
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{
      .image_size = 32, .patch_size = 8, .width = 64, .layers = 2, .heads = 2, .output_dim = 32};
  config.text = {.context_length = 16, .vocab_size = 512, .width = 64, .heads = 2, .layers = 2};
  config.embed_dim = config.text.output_dim = 32;
  cp::DualEncoder model = cp::make_dual_encoder(config);
  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({32, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {32, 16})}};

  // snippet: accumulation
  const auto parts = cp::pair_step_model(model, torch::kCPU);
  cp::FullBatch whole(parts, cp::TiledInfoNce());
  cp::Accumulator accumulated(parts, cp::TiledInfoNce(), {.micro_batch = 8});
  // snippet end
  whole(batch);
  const double expected = model->logit_scale.grad().item<double>();
  model->zero_grad();
  accumulated(batch);
  const double exact = model->logit_scale.grad().item<double>();
  model->zero_grad();
  for (std::int64_t begin = 0; begin < 32; begin += 8) {  // do not do this
    cp::Batch part;
    for (const auto& [name, tensor] : batch.tensors)
      part.tensors[name] = tensor.narrow(0, begin, 8);
    whole(part);
  }
  const double averaged = model->logit_scale.grad().item<double>() / 4;
  std::cout << "gradient of the scale: whole batch " << expected << ", Accumulator " << exact
            << ", mean over micro-batches " << averaged << "\n";
  return std::abs(exact - expected) < 1e-5 * std::abs(expected) + 1e-7 ? 0 : 1;
}

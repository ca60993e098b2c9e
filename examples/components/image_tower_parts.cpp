// SPDX-License-Identifier: CC0-1.0
// An image tower from chosen parts: windows in one layer, rotary embeddings, registers,
// LayerScale and drop path. It learns shapes at 32 pixels and is then fitted to 48. Expect a small
// part of the multiply-adds of global attention at 512 pixels, and a loss that falls.
#include <torch/torch.h>

#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

/// Billions of multiply-adds for an image of 512 pixels with this plan.
double giga_macs(cp::VisionTransformerOptions options, const char* plan) {
  options.attention = cp::parse_attention_plan(plan);
  options.image_size = 512;
  return cp::VisionTransformer(options, at::device(at::kMeta))->cost().macs / 1e9;
}

int main() {
  torch::manual_seed(0);
  const auto shapes =
      std::make_shared<cp::SyntheticShapes>(cp::SyntheticShapesOptions{4'000, 48, 0});
  const auto classes = static_cast<std::int64_t>(shapes->class_names().size());
  // snippet: image_tower_parts
  cp::VisionTransformerOptions options{.image_size = 32,
                                       .patch_size = 4,
                                       .width = 64,
                                       .layers = 2,
                                       .heads = 4,
                                       .output_dim = classes};
  options.attention = cp::parse_attention_plan("shifted4, global");
  options.rotary = {.kind = cp::RotaryKind::kMixed, .temperature = 10.0};
  options.registers = 2;
  options.layer_scale = 0.1;
  options.drop_path = 0.1;
  cp::VisionTransformer tower(options);
  // snippet end
  std::cout << "512 pixels: " << giga_macs(options, "global") << " G multiply-adds, in windows "
            << giga_macs(options, "window4") << " G\n";

  double first = 0.0, mean = 0.0;
  for (const std::int64_t image_size : {32, 48}) {
    tower->resize_images(image_size);  // changes the shapes of parameters: before the optimizer
    cp::AdamW optimizer(cp::decay_groups(*tower, 0.05));
    cp::DataLoader loader(shapes, cp::ImageTransform({.image_size = image_size, .train = true}),
                          nullptr, {.batch_size = 32});
    loader.start_epoch(0);
    for (int step = 0; step < 30; ++step) {
      const auto batch = *loader.next();
      const auto logits = tower(batch.at("image").to(at::kFloat).div(128).sub(1));
      optimizer.zero_grad();
      const auto loss = at::cross_entropy_loss(logits, batch.at("label"));
      loss.backward();
      cp::clip_grad_norm_(optimizer.parameters(), 1.0);
      optimizer.step(3e-3);
      const auto value = loss.item<double>();
      if (first == 0.0) first = mean = value;
      mean = 0.9 * mean + 0.1 * value;
    }
    std::cout << image_size << " pixels: loss " << mean << "\n";
  }
  std::cout << "at the start: loss " << first << "\n";
  return mean < first - 0.1 ? 0 : 1;
}

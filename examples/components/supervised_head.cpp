// SPDX-License-Identifier: CC0-1.0
// A supervised head: one encoder, logits, and a loss that reads the labels from the batch. The step
// strategies, the optimizer and the loader are the same as for pairs. Expect an accuracy that
// rises.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: supervised_head
/// Cross-entropy with the labels of the batch. It is a mean over samples, so it is separable.
struct CrossEntropy {
  static constexpr bool kSeparable = true;
  cp::LossTerms operator()(const at::Tensor& logits, const cp::Batch& batch) const {
    const auto labels = batch.at("label").to(logits.device());
    const auto accuracy = logits.argmax(1).eq(labels).to(at::kFloat).mean();
    return {at::cross_entropy_loss(logits, labels), {{"accuracy", accuracy}}};
  }
};
// snippet end

int main() {
  torch::manual_seed(1);
  const auto shapes =
      std::make_shared<cp::SyntheticShapes>(cp::SyntheticShapesOptions{4'000, 32, 0});
  const auto classes = static_cast<std::int64_t>(shapes->class_names().size());
  cp::DataLoader loader(shapes, cp::ImageTransform({.image_size = 32, .train = true}), nullptr,
                        {.batch_size = 64});
  cp::ModifiedResNet tower(cp::ModifiedResNetOptions{
      .image_size = 32, .layers = {1, 1, 1, 1}, .width = 16, .heads = 8, .output_dim = classes});
  cp::AdamW optimizer(cp::decay_groups(*tower, 0.1));
  // snippet: supervised step
  const auto forward = [tower](const at::Tensor& images) mutable -> cp::Features {
    return tower(images.to(at::kFloat).div(255).sub(0.5));
  };
  const auto head = [](const std::vector<cp::Features>& features, const cp::Batch&) {
    return features[0].tensors.front();  // the logits [B, classes]
  };
  const cp::StepModel<at::Tensor> parts{
      {{.input = "image", .forward = forward}}, head, tower->parameters(), tower->buffers()};
  cp::Accumulator compute_gradients(parts, CrossEntropy{}, {.micro_batch = 32});
  // snippet end
  double accuracy = 0.0;
  loader.start_epoch(0);
  for (int step = 0; step < 60; ++step) {
    optimizer.zero_grad();
    cp::StepRecord record{.step = step};
    record.add(compute_gradients(*loader.next()));
    cp::clip_grad_norm_(optimizer.parameters(), 1.0);
    optimizer.step(3e-3);
    accuracy = *record.find("loss/accuracy");
    if (step % 20 == 19) std::cout << "step " << step << ": accuracy " << accuracy << "\n";
  }
  return accuracy > 0.1 ? 0 : 1;
}

// SPDX-License-Identifier: CC0-1.0
// Zero-shot classification: captions stand for the classes, and each image is assigned to the class
// of the nearest caption. Expect an accuracy near chance before training, and one clearly above
// chance after 150 steps on shapes.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

int main() {
  torch::manual_seed(1);
  const cp::Tokenizer tokenizer = cp::ByteTokenizer({.context_length = 48});
  const auto shapes = [](std::int64_t samples, std::uint64_t seed) {
    return std::make_shared<cp::SyntheticShapes>(cp::SyntheticShapesOptions{samples, 32, seed});
  };
  cp::DataLoader loader(shapes(12'000, 0), cp::ImageTransform({.image_size = 32, .train = true}),
                        tokenizer.encode, {.batch_size = 64});
  cp::DataLoader test(shapes(300, 1), cp::ImageTransform({.image_size = 32}), nullptr,
                      {.batch_size = 100, .train = false});
  cp::ModelConfig config;
  config.image = cp::ModifiedResNetOptions{
      .image_size = 32, .layers = {1, 1, 1, 1}, .width = 16, .heads = 8, .output_dim = 64};
  config.text = {.context_length = 48,
                 .vocab_size = tokenizer.vocab_size,
                 .width = 64,
                 .heads = 2,
                 .layers = 2};
  config.embed_dim = config.text.output_dim = 64;
  cp::DualEncoder model = cp::make_dual_encoder(config);
  const auto pixels = [&](const at::Tensor& bytes) {
    return cp::normalize_images(bytes, config.image_mean, config.image_std);
  };

  // snippet: zero_shot
  const auto accuracy = [&] {
    const torch::NoGradGuard no_grad;
    model->eval();
    const auto classifier = cp::zero_shot_classifier(  // [classes, D]
        [&](const at::Tensor& tokens) { return model->encode_text(tokens); }, tokenizer.encode_all,
        test.source().class_names(), {"a photo of a {}.", "a picture of a {}."});
    cp::ZeroShotAccuracy counted;
    for (test.start_epoch(0); const auto batch = test.next();)
      counted.add(model->encode_image(pixels(batch->at("image"))), batch->at("label"), classifier);
    model->train();
    return counted.result();
  };
  // snippet end
  std::cout << "before: " << cp::to_string(accuracy()) << "\n";
  cp::AdamW optimizer(cp::decay_groups(*model, 0.1));
  cp::FullBatch compute_gradients(cp::pair_step_model(model, torch::kCPU, {.prepare_x = pixels}),
                                  cp::TiledInfoNce());
  loader.start_epoch(0);
  for (int step = 0; step < 150; ++step) {
    optimizer.zero_grad();
    compute_gradients(*loader.next());
    optimizer.step(2e-3);
  }
  const auto after = accuracy();
  std::cout << "after:  " << cp::to_string(after) << "\n";
  return after.top1 > 0.2 ? 0 : 1;
}

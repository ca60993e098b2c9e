// SPDX-License-Identifier: CC0-1.0
// A stored teacher: what a frozen teacher says about all captions and about some views of each
// image is computed once. Training replays these views and runs no teacher. Expect an affinity loss
// that falls, and steps that cost what they cost without a teacher.
#include <contrapunto/contrapunto.hpp>
#include <filesystem>
#include <iostream>

namespace cp = contrapunto;

const cp::Tokenizer tokenizer = cp::ByteTokenizer({.context_length = 32});

cp::ModelConfig config_of(std::int64_t width, std::int64_t image_size) {
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{.image_size = image_size,
                                              .patch_size = 8,
                                              .width = width,
                                              .layers = 2,
                                              .heads = 2,
                                              .output_dim = width};
  config.text = {.context_length = 32,
                 .vocab_size = tokenizer.vocab_size,
                 .width = width,
                 .heads = 2,
                 .layers = 2};
  config.embed_dim = config.text.output_dim = width;
  return config;
}

cp::StepModel<> step_model(const cp::DualEncoder& model, const cp::ModelConfig& config) {
  return cp::pair_step_model(model, torch::kCPU,
                             {.prepare_x = cp::image_normalizer(config), .trim_y = true});
}

int main() {
  torch::manual_seed(1);
  const cp::ModelConfig large = config_of(64, 48), small = config_of(32, 32);
  cp::DualEncoder teacher = cp::make_dual_encoder(large), student = cp::make_dual_encoder(small);
  cp::freeze_teacher(*teacher);
  const auto source =
      std::make_shared<const cp::SyntheticShapes>(cp::SyntheticShapesOptions{.samples = 256});
  const auto folder = std::filesystem::temp_directory_path() / "contrapunto-stored-teacher";
  std::filesystem::remove_all(folder);

  // snippet: stored
  // The teacher may have another image size, tokenizer and context length than the student.
  cp::ImageTransformOptions pixels{.image_size = 48, .train = true, .horizontal_flip = true};
  const auto built = cp::build_teacher_store(folder, source, {.model = step_model(teacher, large)},
                                             cp::ImageTransform(pixels), tokenizer.encode,
                                             {.name = "large", .replay = {.views = 3, .seed = 7}});

  pixels.image_size = 32;
  cp::DataLoader loader(source, cp::ImageTransform(pixels), tokenizer.encode,
                        {.batch_size = 32, .teacher_stores = {folder.string()}});
  cp::GradCache compute_gradients(
      cp::with_stored_teachers(step_model(student, small), loader.teacher_stores(), torch::kCPU),
      cp::AffinityLoss(), {.chunk_size = 8});
  // snippet end
  std::cout << "stored " << built.samples << " samples in " << folder << "\n";

  cp::AdamW optimizer(cp::decay_groups(*student, 0.1));
  double first = 0.0, last = 0.0;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    for (loader.start_epoch(epoch); const auto batch = loader.next();) {
      optimizer.zero_grad();
      const cp::LossTerms terms = compute_gradients(*batch);
      optimizer.step(1e-3);
      last = terms.total.item<double>();
      if (first == 0.0) first = last;
    }
    std::cout << "epoch " << epoch << ": affinity loss " << last << "\n";
  }
  std::filesystem::remove_all(folder);
  return last < first ? 0 : 1;
}

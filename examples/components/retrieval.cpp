// SPDX-License-Identifier: CC0-1.0
// Retrieval over a folder of images: retrieval [FOLDER MODEL WEIGHTS VOCABULARY QUERY].
// Without arguments it writes pictures of shapes into a temporary folder and ranks them with fresh
// weights, so the ranking means nothing. Expect the three images that are nearest to a text.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;
namespace fs = std::filesystem;

std::vector<std::uint8_t> bytes_of(const fs::path& path) {
  const auto text = cp::read_file(path);
  return {text.begin(), text.end()};
}

void write(const fs::path& path, const std::vector<std::uint8_t>& bytes) {
  cp::write_file_atomically(path, std::string(bytes.begin(), bytes.end()));
}

int main(int argc, char** argv) {
  torch::manual_seed(1);
  const bool demo = argc < 6;
  fs::path folder = demo ? fs::temp_directory_path() / "contrapunto-retrieval" : fs::path(argv[1]);
  const auto config = cp::model_config(demo ? "ViT-S-32-alt" : argv[2]);
  cp::DualEncoder model = cp::make_dual_encoder(config);
  const cp::Tokenizer tokenizer =
      cp::make_tokenizer(demo ? "" : argv[4], config.text.context_length);
  if (demo) {
    fs::create_directories(folder);
    const cp::SyntheticShapes shapes({.samples = 12, .image_size = 64});
    for (std::int64_t i = 0; i < shapes.size(); ++i)
      write(folder / (shapes.read(i).key + ".ppm"), shapes.read(i).image);
  } else {
    cp::load_open_clip_state(model, config, cp::read_weights(argv[3]));
  }

  // snippet: retrieval
  const torch::NoGradGuard no_grad;
  model->eval();
  cp::ImageTransform transform(
      {.image_size = config.image_size(), .resize_mode = config.resize_mode});
  std::vector<std::string> names;
  std::vector<at::Tensor> features;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto pixels = transform(cp::decode_image(bytes_of(entry.path()))).unsqueeze(0);
    const auto images = cp::normalize_images(pixels, config.image_mean, config.image_std);
    features.push_back(model->encode_image(images));
    names.push_back(entry.path().filename().string());
  }
  const auto query = model->encode_text(tokenizer.encode_all({demo ? "a red circle" : argv[5]}));
  const auto nearest = at::cat(features).mv(query[0]).topk(3);
  // snippet end
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto index = std::get<1>(nearest)[i].item<std::int64_t>();
    std::cout << std::get<0>(nearest)[i].item<double>() << "  "
              << names[static_cast<std::size_t>(index)] << "\n";
  }
  if (demo) fs::remove_all(folder);
}

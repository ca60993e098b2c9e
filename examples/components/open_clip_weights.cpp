// SPDX-License-Identifier: CC0-1.0
// Reads and writes OpenCLIP weights: open_clip_weights [MODEL IN OUT.safetensors].
// Without arguments it writes a fresh ViT-S-32-alt, reads it back and compares. Expect equal
// features.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

int main(int argc, char** argv) {
  torch::manual_seed(1);
  const auto config = cp::model_config(argc > 1 ? argv[1] : "ViT-S-32-alt");
  const auto folder = std::filesystem::temp_directory_path();
  const std::filesystem::path out =
      argc > 3 ? argv[3] : (folder / "contrapunto-weights.safetensors").string();
  // snippet: open_clip_weights
  cp::DualEncoder model = cp::make_dual_encoder(config);
  if (argc > 2) cp::load_open_clip_state(model, config, cp::read_weights(argv[2]));
  cp::write_safetensors(out, cp::open_clip_state(model, config));
  // open_clip.create_model(NAME, pretrained="OUT.safetensors") reads it
  // snippet end

  cp::DualEncoder again = cp::make_dual_encoder(config);
  cp::load_open_clip_state(again, config, cp::read_safetensors(out));
  const torch::NoGradGuard no_grad;
  model->eval();
  again->eval();
  const auto images = torch::rand({2, 3, config.image_size(), config.image_size()});
  const bool equal = model->encode_image(images).equal(again->encode_image(images));
  std::cout << "wrote " << out.string() << "; features " << (equal ? "are equal" : "differ")
            << "\n";
  if (argc <= 3) std::filesystem::remove(out);
  return equal ? 0 : 1;
}

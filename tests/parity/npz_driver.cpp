// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Reads and writes numpy's archives for npz_parity.py:
//   run MODEL WEIGHTS INPUTS OUT   features of "image", and with "classes" the head of the file;
//   the
//                                  weights are also written to OUT.npz
//   copy IN OUT                    all arrays of one archive to another
//   zip LIMIT OUT                  three entries, with zip64 from LIMIT bytes on
#include <string>
#include <vector>

#include "contrapunto/compress/load_image_weights.hpp"
#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/io/write_npz.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

void run(const std::string& model, const std::string& weights, const TensorMap& inputs,
         const std::string& out) {
  auto config = model_config(model);
  auto& vit = std::get<VisionTransformerOptions>(config.image);
  vit.image_size = inputs.at("image").size(2);
  vit.layers = inputs.at("layers").item<std::int64_t>();
  vit.prefix_positions = inputs.at("prefix_positions").item<std::int64_t>() != 0;
  auto tower = make_image_tower(config);
  torch::nn::Linear head(vit.width, inputs.at("classes").item<std::int64_t>());
  load_image_weights(tower, head.get(), read_weights(weights), model);
  auto again = make_image_tower(config);
  load_npz_state(again, read_npz(weights), model);
  tower->eval();
  again->eval();
  const at::NoGradGuard no_grad;
  const auto features = tower(inputs.at("image"));
  TORCH_CHECK(at::equal(features, again(inputs.at("image"))),
              "load_image_weights and load_npz_state differ");
  write_safetensors(out, {{"features", features}, {"logits", head(features)}});
  write_npz(out + ".npz", npz_state(tower));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto& verb = arguments.at(0);
  if (verb == "run") {
    run(arguments.at(1), arguments.at(2), read_safetensors(arguments.at(3)), arguments.at(4));
  } else if (verb == "copy") {
    write_npz(arguments.at(2), read_npz(arguments.at(1)));
  } else if (verb == "zip") {
    AtomicFile file(arguments.at(2));
    contrapunto::detail::ZipWriter zip(file, std::stoull(arguments.at(1)));
    zip.add("small", "s", "mall");
    zip.add("large", std::string(100, 'l'), std::string(100, 'a'));
    zip.add("last", "", "end");
    zip.finish();
    file.commit();
  } else {
    TORCH_CHECK(false, "unknown verb ", verb);
  }
  return 0;
}

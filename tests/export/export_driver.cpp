// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Writes models for check_saved_model.py and check_onnx.py into a folder: for each the SavedModel
// NAME, NAME.17.onnx and so on for each opset, and NAME.npz with inputs and expected outputs for 1
// and 3 samples, as "images.1".
#include <filesystem>
#include <string>

#include "contrapunto/export/model_graph.hpp"
#include "contrapunto/export/run_graph.hpp"
#include "contrapunto/export/write_onnx.hpp"
#include "contrapunto/export/write_saved_model.hpp"
#include "contrapunto/io/write_npz.hpp"
#include "contrapunto/kernels/normalize_images.hpp"
#include "contrapunto/nn/attention_kind.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "support/catch.hpp"
#include "towers/naive_transformer.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

/// Features of unit length, as the graphs have them.
at::Tensor unit(const at::Tensor& features) {
  return features / features.norm(2, {-1}, /*keepdim=*/true);
}

void write_all(const std::filesystem::path& out, const Graph& graph, const TensorMap& numbers,
               const SavedModelOptions& options = {}) {
  write_saved_model(out, graph, options);
  for (const auto opset : {17, 18, 20, 23})
    write_onnx(out.string() + "." + std::to_string(opset) + ".onnx", graph,
               {.opset = opset, .external_data = opset == 18});
  write_npz(out.string() + ".npz", numbers);
}

void write_tower(const std::filesystem::path& out, const VisionTransformerOptions& options) {
  ModelConfig config;
  config.image = options;
  config.image_only = true;
  config.embed_dim = options.output_dim;
  const auto tower = make_image_tower(config);
  test::randomize(*tower);
  tower->eval();
  TensorMap numbers;
  for (const auto* batch : {"1", "3"}) {
    const auto images = test::images(config, std::stoll(batch));
    numbers["images." + std::string(batch)] = images;
    numbers["image_features." + std::string(batch)] = unit(tower(images));
  }
  write_all(out, image_graph(tower, config), numbers);
}

struct PairSettings {
  ModelGraphOptions graph = {};
  bool constants = false;
};

void write_pair(const std::filesystem::path& out, const char* name, const PairSettings& settings) {
  const auto config = test::small_config(name);
  auto model = make_dual_encoder(config);
  test::randomize(*model);
  // The statistics of a ResNet fit its maps, so that the features depend on the image.
  model->train();
  for (int i = 0; i < 30; ++i) static_cast<void>(model->encode_image(test::images(config, 8)));
  model->logit_scale.fill_(1.0);
  model->eval();
  const auto graph = model_graph(*model, config, ModelGraphPart::kBoth, settings.graph);
  const auto size = config.image_size();
  TensorMap numbers;
  for (const std::string batch : {"1", "3"}) {
    const auto texts = batch == "1" ? test::texts({7}) : test::texts({3, 15, 9});
    const auto images = settings.graph.raw_images
                            ? at::randint(256, {std::stoll(batch), size, size, 3}, at::kByte)
                            : test::images(config, std::stoll(batch));
    numbers["images." + batch] = images;
    numbers["texts." + batch] = texts;
    if (settings.graph.weight_dtype != at::kFloat) {
      // The model does not round its weights, but the graph does.
      for (const auto& [output, value] : run_graph(graph, {{"images", images}, {"texts", texts}}))
        numbers[output + "." + batch] = value;
      continue;
    }
    const auto x = model->encode_image(
        settings.graph.raw_images ? normalize_images(images.permute({0, 3, 1, 2}).contiguous(),
                                                     config.image_mean, config.image_std)
                                  : images);
    const auto y = model->encode_text(texts);
    auto similarity = model->scale() * x.matmul(y.t());
    if (model->logit_bias.defined()) similarity = similarity + model->logit_bias;
    numbers["image_features." + batch] = x;
    numbers["text_features." + batch] = y;
    numbers["similarity." + batch] = similarity;
  }
  write_all(out, graph, numbers, {.constants = settings.constants});
}

}  // namespace

int main(int argc, char** argv) {
  TORCH_CHECK(argc == 2, "usage: export_driver FOLDER");
  const at::NoGradGuard no_grad;
  torch::manual_seed(7);
  const std::filesystem::path folder = argv[1];
  VisionTransformerOptions vit{
      .image_size = 20, .patch_size = 4, .width = 32, .layers = 3, .heads = 2, .output_dim = 24};
  write_tower(folder / "plain_vit", vit);
  auto windows = vit;
  windows.attention = parse_attention_plan("window2, shifted2, global");
  windows.rotary = {.kind = RotaryKind::kAxial};
  windows.registers = 2;
  windows.layer_scale = 0.3;
  windows.mlp = MlpKind::kSwiGlu;
  write_tower(folder / "window_vit", windows);
  windows.rotary = {};
  windows.attention = parse_attention_plan("window3, shifted3");
  windows.relative_bias = RelativeBiasKind::kTable;
  windows.pool = ImagePool::kAverage;
  write_tower(folder / "swin_vit", windows);
  auto stem = vit;
  stem.image_size = 32;
  stem.stem = ImageStem::kConvolutions;
  stem.stem_channels = 8;
  stem.attention = parse_attention_plan("focused, linear");
  stem.pool = ImagePool::kSequence;
  write_tower(folder / "linear_vit", stem);
  write_pair(folder / "resnet", "RN50", {});
  write_pair(folder / "raw_resnet", "RN50", {.graph = {.raw_images = true}});
  write_pair(folder / "clip", "ViT-B-32", {});
  write_pair(folder / "clip_constants", "ViT-B-32-quickgelu", {.constants = true});
  write_pair(folder / "clip_float16", "ViT-B-32", {.graph = {.weight_dtype = at::kHalf}});
  write_pair(folder / "clip_bfloat16", "ViT-B-32", {.graph = {.weight_dtype = at::kBFloat16}});
  write_pair(folder / "siglip", "ViT-B-16-SigLIP", {.graph = {.raw_images = true}});
  return 0;
}

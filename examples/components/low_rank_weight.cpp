// SPDX-License-Identifier: CC0-1.0
// Low-rank adapters (LoRA) on the attention and MLP weights of a frozen image tower. Expect a loss
// that falls from about 3.9 to below 0.5 in a few seconds with a tenth of the tower's parameters
// trained, and the same features after the adapters are merged into the weights.
#include <torch/torch.h>

#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: low_rank_weight
/// weight + (alpha / rank) b a. b starts at zero, so a new adapter changes nothing.
/// Reference: Hu et al. 2021, https://arxiv.org/abs/2106.09685
struct LowRankImpl : torch::nn::Module {
  LowRankImpl(const at::Tensor& weight, std::int64_t rank, double alpha)
      : scale(alpha / static_cast<double>(rank)) {
    a = register_parameter("a", torch::randn({rank, weight.size(1)}, weight.device()) /
                                    std::sqrt(static_cast<double>(weight.size(1))));
    b = register_parameter("b", torch::zeros({weight.size(0), rank}, weight.device()));
  }
  at::Tensor forward(const at::Tensor& weight) { return weight + scale * b.mm(a); }
  at::Tensor a, b;
  double scale;
};
TORCH_MODULE(LowRank);
// snippet end

int main() {
  torch::manual_seed(0);
  const cp::VisionTransformerOptions image{
      .image_size = 32, .patch_size = 8, .width = 64, .layers = 3, .heads = 2, .output_dim = 32};
  const cp::TextTransformerOptions text{.context_length = 4,
                                        .vocab_size = 64,
                                        .width = 64,
                                        .heads = 2,
                                        .layers = 2,
                                        .output_dim = 32};
  cp::DualEncoder model{cp::VisionTransformer(image), cp::TextTransformer(text)};

  // snippet: low_rank_weight of every layer
  cp::lock_image_tower(model);
  for (const auto& item : model->x_tower()->named_modules()) {
    auto* layer = item.value()->as<cp::ParametrizedModule>();
    if (layer == nullptr || item.key().find("resblocks") == std::string::npos) continue;
    for (const auto& name : layer->weight_names())
      layer->parametrize(name, "lora",
                         LowRank(layer->named_parameters()[name], /*rank=*/4, /*alpha=*/8));
  }
  // snippet end
  std::int64_t trained = 0;
  for (const auto& p : model->x_tower()->parameters()) trained += p.requires_grad() ? p.numel() : 0;
  std::cout << "image tower: " << trained << " of " << cp::parameter_count(*model->x_tower())
            << " parameters trained\n";
  cp::AdamW optimizer(cp::decay_groups(*model, /*weight_decay=*/0.0));

  // 48 pairs: one patch of one color at one of 16 places, and the words for place and color.
  const auto pair = torch::arange(48);
  const auto place = pair.div(3, "floor"), color = pair % 3;
  const auto tokens =
      torch::stack({torch::full({48}, 1), place + 2, color + 20, torch::full({48}, 63)}, 1);
  const auto cells =
      torch::zeros({48, 3, 16}).index_put_({pair, color, place}, 3.0).view({48, 3, 4, 4});
  const auto images = cells.repeat_interleave(8, 2).repeat_interleave(8, 3);

  for (int step = 0; step <= 60; ++step) {
    optimizer.zero_grad();
    const auto loss = cp::InfoNce{}(model(images, tokens));
    loss.backward();
    optimizer.step(/*lr=*/2e-3);
    if (step % 20 == 0) std::cout << "step " << step << "  loss " << loss.item<double>() << "\n";
  }

  const auto adapted = model->encode_x(images);
  model->apply([](torch::nn::Module& module) {
    if (auto* layer = module.as<cp::ParametrizedModule>()) layer->merge_parametrizations_();
  });
  std::cout << "features moved by the merge: "
            << (model->encode_x(images) - adapted).abs().max().item<double>() << "\n";
}

// SPDX-License-Identifier: CC0-1.0
// An attention of your own in chosen layers of a vision transformer: windows, with every third
// layer global. Expect a loss that falls from about 3.9 to below 0.2 in a few seconds, and every
// image found by its text.
#include <torch/torch.h>

#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

/// Attention among the patches of one window of `side` x `side`. The class token is passed on as it
/// is.
struct WindowAttentionImpl : torch::nn::Module {
  WindowAttentionImpl(const cp::AttentionOptions& usual, std::int64_t window)
      : side(window), heads(usual.heads) {
    qkv = register_module("qkv", torch::nn::Linear(usual.width, 3 * usual.width));
    out = register_module("out", torch::nn::Linear(usual.width, usual.width));
  }

  at::Tensor forward(const at::Tensor& x, const cp::TokenGrid& grid) {
    TORCH_CHECK(grid.rows % side == 0 && grid.columns % side == 0, grid.rows, " x ", grid.columns,
                " patches do not divide into windows of ", side, " x ", side);
    const auto tokens = x.view({grid.batch, grid.length(), -1});
    const auto prefix = tokens.narrow(1, 0, grid.prefix);
    const auto windows =
        tokens.narrow(1, grid.prefix, grid.rows * grid.columns)
            .reshape({grid.batch, grid.rows / side, side, grid.columns / side, side, x.size(1)})
            .transpose(2, 3);  // [batch, rows / side, columns / side, side, side, width]
    const auto parts = qkv(windows.reshape({-1, side * side, x.size(1)})).chunk(3, 2);
    const auto split = [&](const at::Tensor& t) {
      return t.unflatten(2, {heads, -1}).transpose(1, 2);
    };
    const auto mixed =
        at::scaled_dot_product_attention(split(parts[0]), split(parts[1]), split(parts[2]));
    const auto plane = mixed.transpose(1, 2).reshape(windows.sizes()).transpose(2, 3);
    return out(at::cat({prefix, plane.reshape({grid.batch, -1, x.size(1)})}, 1).flatten(0, 1));
  }

  std::int64_t side, heads;
  torch::nn::Linear qkv = nullptr, out = nullptr;
};
TORCH_MODULE(WindowAttention);

int main() {
  torch::manual_seed(0);
  cp::VisionTransformerOptions image{
      .image_size = 32, .patch_size = 4, .width = 64, .layers = 3, .heads = 2, .output_dim = 32};
  // snippet: own_attention
  image.parts.attention = [](std::int64_t layer, const cp::AttentionOptions& usual,
                             const at::TensorOptions&) -> cp::AnyAttention {
    if (layer % 3 == 2) return {};  // an empty part keeps the usual, global attention
    return WindowAttention(usual, /*side=*/4);
  };
  // snippet end
  cp::TextTransformerOptions text{.context_length = 4, .vocab_size = 64, .output_dim = 32};
  text.width = 64, text.heads = 2, text.layers = 2;
  cp::DualEncoder model{cp::VisionTransformer(image), cp::TextTransformer(text)};
  cp::AdamW optimizer(cp::decay_groups(*model, /*weight_decay=*/0.1));

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
    const auto loss = cp::InfoNce{}(model(images + 0.3 * torch::randn_like(images), tokens));
    loss.backward();
    optimizer.step(/*lr=*/2e-3);
    if (step % 20 == 0) std::cout << "step " << step << "  loss " << loss.item<double>() << "\n";
  }
  const auto e = model(images, tokens);
  std::cout << "images found by their text: "
            << e.x.mm(e.y.t()).argmax(0).eq(pair).sum().item<std::int64_t>() << " of 48\n";
}

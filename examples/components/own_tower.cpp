// SPDX-License-Identifier: CC0-1.0
// Towers of your own: any LibTorch module whose forward takes one tensor and returns [B, D]. Expect
// a loss that falls from 3.5 toward 0 within 200 steps.
#include <torch/torch.h>

#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: own_tower
/// The mean color of an image, through two layers.
struct ColorTowerImpl : torch::nn::Module {
  ColorTowerImpl() {
    layers =
        register_module("layers", torch::nn::Sequential(torch::nn::Linear(3, 64), torch::nn::GELU(),
                                                        torch::nn::Linear(64, 16)));
  }
  at::Tensor forward(const at::Tensor& images) {  // [B, 3, H, W] -> [B, 16]
    return layers->forward(images.mean({2, 3}));
  }
  torch::nn::Sequential layers{nullptr};
};
TORCH_MODULE(ColorTower);

/// The mean of the embeddings of the tokens.
struct BagOfTokensImpl : torch::nn::Module {
  BagOfTokensImpl() { embed = register_module("embed", torch::nn::Embedding(64, 16)); }
  at::Tensor forward(const at::Tensor& tokens) { return embed(tokens).mean(1); }  // -> [B, 16]
  torch::nn::Embedding embed{nullptr};
};
TORCH_MODULE(BagOfTokens);
// snippet end

int main() {
  torch::manual_seed(1);
  // snippet: own_tower model
  cp::DualEncoder model{ColorTower(), BagOfTokens()};
  cp::AdamW optimizer(cp::decay_groups(*model, /*weight_decay=*/0.0));
  cp::FullBatch compute_gradients(cp::pair_step_model(model, torch::kCPU), cp::TiledInfoNce());
  // snippet end

  cp::Batch batch;  // 32 colors, each named by two tokens
  const auto colors = torch::rand({32, 3, 1, 1});
  batch.tensors = {{"image", colors.expand({32, 3, 8, 8}).contiguous()},
                   {"text", torch::stack({torch::arange(32), torch::arange(32) + 32}, 1)}};
  double loss = 0.0;
  for (int step = 0; step < 200; ++step) {
    optimizer.zero_grad();
    loss = compute_gradients(batch).total.item<double>();
    optimizer.step(1e-2);
    if (step % 20 == 0) std::cout << "step " << step << ": loss " << loss << "\n";
  }
  std::cout << "at the end: loss " << loss << "\n";
  return loss < 1.0 ? 0 : 1;
}

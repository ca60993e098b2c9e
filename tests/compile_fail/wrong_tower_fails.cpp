// expect: DualEncoder: the tower of x must be a LibTorch module holder (TORCH_MODULE)
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/dual_encoder.hpp"

struct ThumbnailImpl : torch::nn::Module {
  at::Tensor forward(const at::Tensor& images) { return images.flatten(1); }
};
TORCH_MODULE(Thumbnail);

// Passes the module instead of its holder.
int main() {
  contrapunto::DualEncoderImpl(ThumbnailImpl(), Thumbnail());
}

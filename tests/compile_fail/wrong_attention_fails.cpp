// expect: AnyAttention: an attention must have `at::Tensor forward(const at::Tensor& x, const
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/nn/any_attention.hpp"

#include <torch/nn/pimpl.h>

struct NoMixingImpl : torch::nn::Module {
  at::Tensor forward(const at::Tensor& x) { return x.clone(); }
};
TORCH_MODULE(NoMixing);

// Its forward takes no grid.
int main() {
  contrapunto::AnyAttention attention = NoMixing();
}

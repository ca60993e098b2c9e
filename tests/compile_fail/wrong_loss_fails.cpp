// expect: Loss must be callable as `Tensor loss(const Inputs&) const`
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/step/full_batch.hpp"

// Takes the two tensors instead of Embeddings.
struct TwoTensors {
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& /*y*/) const { return x; }
};

int main() {
  const contrapunto::FullBatch step(contrapunto::StepModel<>{}, TwoTensors{});
}

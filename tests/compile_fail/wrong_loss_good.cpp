// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/step/full_batch.hpp"

struct MyLoss {
  at::Tensor operator()(const contrapunto::Embeddings& e) const { return e.scale; }
};

struct WithParts {
  contrapunto::LossTerms operator()(const contrapunto::Embeddings& e) const {
    return {e.scale, {{"scale", e.scale}}};
  }
};

int main() {
  const contrapunto::FullBatch one(contrapunto::StepModel<>{}, MyLoss{});
  const contrapunto::FullBatch other(contrapunto::StepModel<>{}, WithParts{});
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/step/direct.hpp"

struct MyLoss {
  at::Tensor operator()(const contrapunto::Embeddings& e) const { return e.scale; }
};

struct WithParts {
  contrapunto::LossTerms operator()(const contrapunto::Embeddings& e) const {
    return {e.scale, {{"scale", e.scale}}};
  }
};

int main() {
  const contrapunto::Direct one(contrapunto::StepModel{}, MyLoss{});
  const contrapunto::Direct other(contrapunto::StepModel{}, WithParts{});
}

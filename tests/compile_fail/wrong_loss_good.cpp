// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/gates.hpp"

struct MyLoss {
  at::Tensor operator()(const contrapunto::Embeddings& e) const { return e.scale; }
};

struct WithParts {
  contrapunto::LossTerms operator()(const contrapunto::Embeddings& e) const {
    return {e.scale, {{"scale", e.scale}}};
  }
};

int main() {
  contrapunto::check_loss<MyLoss>();
  contrapunto::check_loss<WithParts>();
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/optimizer.hpp"

struct Descent {
  [[nodiscard]] std::string name() const { return "Descent"; }
  void check() const {}
  [[nodiscard]] std::vector<std::string> state_names(const std::string& /*name*/,
                                                     const at::Tensor& /*parameter*/) const {
    return {};
  }
  void update(const contrapunto::UpdateBatch& /*batch*/) const {}
};

int main() {
  const contrapunto::Optimizer<Descent> optimizer({});
}

// expect: Rule must have name(), check(), state_names(name, parameter) and update(batch)
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/optimizer.hpp"

// It does not say which state it needs.
struct Descent {
  [[nodiscard]] std::string name() const { return "Descent"; }
  void check() const {}
  void update(const contrapunto::UpdateBatch& /*batch*/) const {}
};

int main() {
  const contrapunto::Optimizer<Descent> optimizer({});
}

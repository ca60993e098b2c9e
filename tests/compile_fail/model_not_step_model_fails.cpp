// expect: A step strategy takes a StepModel: pair_step_model(model, device) makes one from a
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/towers/dual_encoder.hpp"

// Passes the model itself.
void train(const contrapunto::DualEncoder& model) {
  const contrapunto::FullBatch step(model, contrapunto::InfoNce{});
}

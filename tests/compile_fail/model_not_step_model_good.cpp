// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/towers/dual_encoder.hpp"

void train(const contrapunto::DualEncoder& model) {
  const contrapunto::FullBatch step(contrapunto::pair_step_model(model, at::kCPU),
                                    contrapunto::InfoNce{});
}

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/towers/dual_encoder.hpp"

namespace contrapunto {

/// Trades time for memory in both towers: forwards keep only the input of each block and backward
/// runs the block again, which is a third more computation. Gradients stay the same, bit for bit on
/// the CPU. For one tower alone call `checkpoint_activations(true)` on it. Raises, before any
/// change, when a tower has no such member.
inline void checkpoint_activations(DualEncoderImpl& model, bool on = true) {
  const AnyTower* towers[] = {&model.x_tower(), &model.y_tower()};
  for (const auto* tower : towers)
    if (!tower->can_checkpoint_activations()) return tower->checkpoint_activations(on);  // raises
  for (const auto* tower : towers) tower->checkpoint_activations(on);
}

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/towers/dual_encoder.hpp"

namespace contrapunto {

/// Turns activation checkpointing of both towers on or off. The forward then keeps only the input
/// of each block, and the backward runs the block again, which costs a third more computation. The
/// gradients stay the same, bit for bit on the CPU. To change a single tower, call
/// `checkpoint_activations(true)` on it. Raises before any change if a tower has no such member.
inline void checkpoint_activations(DualEncoderImpl& model, bool on = true) {
  const AnyTower* towers[] = {&model.x_tower(), &model.y_tower()};
  for (const auto* tower : towers)
    if (!tower->can_checkpoint_activations()) return tower->checkpoint_activations(on);  // Raises.
  for (const auto* tower : towers) tower->checkpoint_activations(on);
}

}  // namespace contrapunto

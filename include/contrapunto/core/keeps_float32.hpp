// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// Tag for modules whose own parameters and buffers stay in float32 under every precision policy:
/// `struct MyNormImpl : torch::nn::Module, contrapunto::KeepsFloat32`. Norms have it, because 8
/// significant bits are too few for running statistics, and their weights are small. The tag does
/// not apply to submodules.
class KeepsFloat32 {
 public:
  virtual ~KeepsFloat32() = default;

 protected:
  KeepsFloat32() = default;
  KeepsFloat32(const KeepsFloat32&) = default;
  KeepsFloat32& operator=(const KeepsFloat32&) = default;
};

}  // namespace contrapunto

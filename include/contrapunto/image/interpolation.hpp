// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// How a resize computes pixels between the given ones.
enum class Interpolation { kBicubic, kBilinear };

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// The filter that an antialiased resize weighs source pixels with.
enum class Interpolation { kBicubic, kBilinear };

}  // namespace contrapunto

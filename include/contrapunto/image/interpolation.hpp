// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// The filter of an antialiased resize.
enum class Interpolation { kBicubic, kBilinear };

}  // namespace contrapunto

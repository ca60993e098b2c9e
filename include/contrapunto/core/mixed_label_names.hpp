// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// Names of the tensors of a batch that say which classes its samples belong to. Sample i belongs
/// to class label[i]; if samples were mixed, the fraction label_weight[i] of it belongs to that
/// class and the rest to class mixed_label[i]. Two labels for each sample take the place of a
/// matrix over all classes.
inline constexpr const char* kLabelName = "label";               ///< int64 [B]
inline constexpr const char* kMixedLabelName = "mixed_label";    ///< int64 [B]
inline constexpr const char* kLabelWeightName = "label_weight";  ///< float32 [B], 0 to 1

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace contrapunto {

/// Disables autocast on this thread during its lifetime, even inside other guards. Losses need it,
/// because a bf16 matrix product keeps only 8 significant bits of logits that reach +-100. The step
/// strategies use one for the head and the loss.
class NoAutocast {
 public:
  [[nodiscard]] NoAutocast() {}  // NOLINT(modernize-use-equals-default): for [[nodiscard]]
  NoAutocast(const NoAutocast&) = delete;
  NoAutocast& operator=(const NoAutocast&) = delete;

 private:
  c10::impl::ExcludeDispatchKeyGuard guard_{c10::autocast_dispatch_keyset};
};

}  // namespace contrapunto

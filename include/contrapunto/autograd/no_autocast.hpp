// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace contrapunto {

/// Switches autocast off on this thread while it lives, whatever guard lies around it. Losses need
/// it: a matrix product in bf16 keeps 8 bits of logits that reach +-100. The step strategies hold
/// one around the head and the loss.
class NoAutocast {
 public:
  [[nodiscard]] NoAutocast() {}  // NOLINT(modernize-use-equals-default): for [[nodiscard]]
  NoAutocast(const NoAutocast&) = delete;
  NoAutocast& operator=(const NoAutocast&) = delete;

 private:
  c10::impl::ExcludeDispatchKeyGuard guard_{c10::autocast_dispatch_keyset};
};

}  // namespace contrapunto

// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <string>

#include "contrapunto/image/mixup.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// Settings of Mixup, for programs that train with labels.
struct MixingSettings {
  double mixup = 0.0, cutmix = 0.0;
  double mixup_probability = 1.0, cutmix_share = 0.5;
  std::string mixup_mode = "batch";
  double mixup_epochs = 0.0;  ///< Epochs after which images are no longer mixed; 0: all.

  /// Whether images are mixed after `epochs` epochs.
  [[nodiscard]] bool mixes_after(double epochs) const {
    return (mixup > 0.0 || cutmix > 0.0) && (mixup_epochs == 0.0 || epochs < mixup_epochs);
  }
};

/// Adds `mixing`, which must outlive the table, to the current section of `table`.
inline void add_mixing_settings(SettingsTable& table, MixingSettings& mixing) {
  table.add("mixup", mixing.mixup, "parameter of the beta distribution of mixup; 0: none")
      .check(at_least(0));
  table.add("cutmix", mixing.cutmix, "parameter of that of CutMix; 0: none").check(at_least(0));
  table.add("mixup-probability", mixing.mixup_probability, "of mixing the images of a draw")
      .check(in_range(0, 1));
  table.add("cutmix-share", mixing.cutmix_share, "fraction of CutMix, if there are both")
      .check(in_range(0, 1));
  table
      .add("mixup-mode", mixing.mixup_mode,
           "what is drawn once: batch, pair or element, as in timm, or rolled, as in big_vision")
      .one_of({"batch", "pair", "element", "rolled"});
  table.add("mixup-epochs", mixing.mixup_epochs, "epochs with mixed images; 0: all")
      .check(at_least(0));
}

/// Returns the Mixup of `settings`. Raises as Mixup::check() does.
[[nodiscard]] inline Mixup mixup_of(const MixingSettings& settings) {
  const auto& mode = settings.mixup_mode;
  const Mixup mixup{.mixup = settings.mixup,
                    .cutmix = settings.cutmix,
                    .probability = settings.mixup_probability,
                    .cutmix_share = settings.cutmix_share,
                    .mode = mode == "pair"      ? MixupMode::kPair
                            : mode == "element" ? MixupMode::kElement
                            : mode == "rolled"  ? MixupMode::kRolled
                                                : MixupMode::kBatch};
  mixup.check();
  return mixup;
}

}  // namespace contrapunto

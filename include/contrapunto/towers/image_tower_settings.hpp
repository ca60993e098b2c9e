// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <string>
#include <variant>

#include "contrapunto/nn/attention_kind.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// What a trainer may change in the image tower of a model that it takes by name.
struct ImageTowerSettings {
  std::int64_t image_size = 0;  ///< Pixels; 0: as the model says.
  double drop_path = -1.0;      ///< Rate in the last block of a ViT; below 0: as the model says.
  std::string attention = {};   ///< Plan of a ViT, see parse_attention_plan; empty: the model's.
};

/// Adds `tower`, which must outlive the table, to the current section of `table`.
inline void add_image_tower_settings(SettingsTable& table, ImageTowerSettings& tower) {
  table.add("image-size", tower.image_size, "pixels; 0: as the model says").check(at_least(0));
  table.add("drop-path", tower.drop_path, "rate in the last block; below 0: as the model says")
      .check(below(1));
  table.add("attention", tower.attention, "of each layer, such as 'window7, global'")
      .readable_by(parse_attention_plan);
}

/// Returns `config` with the changes of `tower`. Raises for a drop path or an attention if the
/// tower is not a ViT.
[[nodiscard]] inline ModelConfig with_image_tower_settings(ModelConfig config,
                                                           const ImageTowerSettings& tower) {
  if (tower.image_size > 0)
    std::visit([&](auto& image) { image.image_size = tower.image_size; }, config.image);
  auto* vit = std::get_if<VisionTransformerOptions>(&config.image);
  TORCH_CHECK(vit != nullptr || (tower.drop_path < 0.0 && tower.attention.empty()),
              "with_image_tower_settings: the image tower of '", config.name,
              "' is not a vision transformer, so it has no drop path and no attention per layer; "
              "leave these settings out");
  if (tower.drop_path >= 0.0) vit->drop_path = tower.drop_path;
  if (!tower.attention.empty()) vit->attention = parse_attention_plan(tower.attention);
  return config;
}

}  // namespace contrapunto

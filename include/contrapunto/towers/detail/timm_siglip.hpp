// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "contrapunto/nn/attention_kind.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/vision_transformer.hpp"

namespace contrapunto::detail {

/// The image towers of SigLIP, which OpenCLIP's configurations name as timm does:
/// vit_base_patch16_siglip_224 has patches and images of these sizes.
struct SiglipRow {
  const char* size;
  std::int64_t width, layers, heads;
  double mlp_ratio;
};
inline constexpr SiglipRow kSiglipRows[] = {
    {"base", 768, 12, 12, 4.0}, {"large", 1024, 24, 16, 4.0}, {"so400m", 1152, 27, 16, 3.7362}};

inline std::string timm_siglip_name(const SiglipRow& row, std::int64_t patch, std::int64_t image) {
  return std::string("vit_") + row.size + "_patch" + std::to_string(patch) + "_siglip_" +
         std::to_string(image);
}

inline VisionTransformerOptions timm_siglip_tower(const SiglipRow& row, std::int64_t patch,
                                                  std::int64_t image) {
  auto o = std::get<VisionTransformerOptions>(siglip_config().image);
  o.image_size = image;
  o.patch_size = patch;
  o.width = o.output_dim = row.width;
  o.layers = row.layers;
  o.heads = row.heads;
  o.mlp_ratio = row.mlp_ratio;
  return o;
}

/// Returns the tower that timm calls `name`, or nothing if this is no name of a SigLIP tower.
inline std::optional<VisionTransformerOptions> timm_siglip_tower(const std::string& name) {
  for (const auto& row : kSiglipRows)
    for (const std::int64_t patch : {14, 16, 32})
      for (const std::int64_t image : {224, 256, 384, 512})
        if (name == timm_siglip_name(row, patch, image))
          return timm_siglip_tower(row, patch, image);
  return std::nullopt;
}

/// Returns timm's name of the image tower of `config`, or nothing if timm has none for it.
inline std::optional<std::string> timm_siglip_name(const VisionTransformerOptions& o) {
  for (const auto& row : kSiglipRows) {
    auto tower = timm_siglip_tower(row, o.patch_size, o.image_size);
    const bool same = o.width == tower.width && o.layers == tower.layers &&
                      o.heads == tower.heads && o.hidden() == tower.hidden();
    const auto name = timm_siglip_name(row, o.patch_size, o.image_size);
    if (same && timm_siglip_tower(name)) return name;
  }
  return std::nullopt;
}

}  // namespace contrapunto::detail

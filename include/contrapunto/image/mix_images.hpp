// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/mixed_row.hpp"

namespace contrapunto {

/// Returns mixed copies of uint8 images [B, 3, H, W] on their device and in their memory format:
/// inside the box of a row, `own` of its pixels plus 1 - `own` of those of its partner, rounded to
/// the nearest level in float32, and to the even one of two. All partners are images before the
/// mixing. It needs the memory of a second batch of bytes, and that of a few images in float32.
/// Raises for images of another dtype or shape, for another number of rows, and for a partner or a
/// box outside.
[[nodiscard]] inline at::Tensor mix_images(const at::Tensor& images,
                                           const std::vector<MixedRow>& rows) {
  TORCH_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte, "mix_images: images are ",
              images.scalar_type(), " ", images.sizes(),
              ", expected uint8 [B, 3, H, W]; mix them before they are normalized");
  const auto count = images.size(0), height = images.size(2), width = images.size(3);
  TORCH_CHECK(std::ssize(rows) == count, "mix_images: there are ", rows.size(), " rows for ", count,
              " images");
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> partners, edges;
  std::vector<float> own;
  for (const auto& row : rows) {
    const auto& box = row.box;
    TORCH_CHECK(0 <= row.partner && row.partner < count, "mix_images: row ", partners.size(),
                " has the partner ", row.partner, ", but there are ", count, " images");
    TORCH_CHECK(0 <= box.left && 0 <= box.top && 0 <= box.width && 0 <= box.height &&
                    box.left + box.width <= width && box.top + box.height <= height,
                "mix_images: the box of row ", partners.size(), " from (", box.left, ", ", box.top,
                ") of ", box.width, " x ", box.height, " pixels is not inside of ", width, " x ",
                height);
    partners.push_back(row.partner);
    edges.insert(edges.end(), {box.top, box.top + box.height, box.left, box.left + box.width});
    own.push_back(static_cast<float>(row.own));
  }
  const auto on = [&](const at::Tensor& host) { return host.to(images.device()); };
  const auto partner = on(at::tensor(partners, at::kLong));
  const auto edge = on(at::tensor(edges, at::kLong)).view({count, 4, 1});
  const auto own_weight = on(at::tensor(own, at::kFloat)).view({count, 1, 1});
  const auto along = [&](std::int64_t size, std::int64_t first) {  // [B, size]: inside the edges?
    const auto place = at::arange(size, edge.options());
    return place.ge(edge.select(1, first)).logical_and_(place.lt(edge.select(1, first + 1)));
  };
  const auto vertical = along(height, 0).unsqueeze(2), horizontal = along(width, 2).unsqueeze(1);

  // Channels stay where they are in memory, and each of them is multiplied by the same weights.
  const bool channels_last = images.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
  const auto in_memory = [&](const at::Tensor& t) {
    return channels_last ? t.permute({0, 2, 3, 1}) : t;
  };
  auto mixed = at::empty_like(images, images.suggest_memory_format());
  const auto from = in_memory(images);
  auto to = in_memory(mixed);
  constexpr std::int64_t kElements = 1 << 23;  // 32 MiB in float32
  const auto piece =
      std::max<std::int64_t>(1, kElements * count / std::max<std::int64_t>(1, images.numel()));
  for (std::int64_t begin = 0; begin < count; begin += piece) {
    const auto n = std::min(piece, count - begin);
    const auto part = [&](const at::Tensor& t) { return t.narrow(0, begin, n); };
    const auto inside = part(vertical).logical_and(part(horizontal));  // [n, H, W]
    const auto weight = at::where(inside, part(own_weight), 1.0).unsqueeze(channels_last ? 3 : 1);
    auto sum = part(from).to(at::kFloat).mul_(weight);
    sum.add_(from.index_select(0, part(partner)).to(at::kFloat).mul_(1 - weight));
    part(to).copy_(sum.round_());
  }
  return mixed;
}

}  // namespace contrapunto

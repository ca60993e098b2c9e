// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "contrapunto/kernels/detail/augment_image.hpp"
#include "contrapunto/kernels/packed_images.hpp"

#ifdef CONTRAPUNTO_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "contrapunto/kernels/detail/augment_images_launch.hpp"
#endif

namespace contrapunto {

/// What augment_images() makes of the augmented squares.
struct AugmentedImages {
  at::ScalarType dtype = at::kByte;        ///< uint8, or float32, bf16 or fp16 normalized colors
  std::array<double, 3> mean = {0, 0, 0};  ///< of (pixels / 255 - mean) / deviation; see
  std::array<double, 3> deviation = {1, 1, 1};  ///< normalize_images().
  at::MemoryFormat format = at::MemoryFormat::Contiguous;
};

namespace detail {

/// Raises unless augment_images() runs on `device` in this program.
inline void check_augment_device(c10::Device device) {
#ifdef CONTRAPUNTO_HAS_CUDA
  if (device.is_cuda()) return;
#endif
  TORCH_CHECK(device.is_cpu(), "augment_images: device is ", device,
              ", expected a CUDA device and a program that links contrapunto::cuda, or the CPU");
}

/// The rows of one table that are in one piece, and the largest sides of their images.
struct RowsOfPiece {
  std::vector<AugmentRow> rows;
  std::int64_t most_width = 1;
  std::int64_t most_height = 1;

  RowsOfPiece(const PackedImages::Table& table, std::size_t piece) {
    for (const AugmentRow& row : table.rows) {
      if (static_cast<std::size_t>(row.piece) != piece) continue;
      rows.push_back(row);
      most_width = std::max<std::int64_t>(most_width, row.width);
      most_height = std::max<std::int64_t>(most_height, row.height);
    }
    const std::int64_t size = table.image_size;
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    TORCH_CHECK(size * std::max(size, most_height) <= kMost, "augment_images: an image of ",
                most_height, " rows and squares of ", size,
                " pixels are too large; lower the image size, or LoaderOptions::max_pixels");
  }
};

/// One thread as the team of augment_image().
struct HostTeam {
  static std::uint32_t rank() { return 0; }
  static std::uint32_t size() { return 1; }
  static void sync() {}
  static std::uint64_t sum(std::uint64_t value) { return value; }
};

/// The code of the kernel in threads of the host, as its reference.
template <class Element>
void augment_images_on_host(const PackedImages& packed, const PackedImages::Table& table,
                            const AugmentedImages& made, at::Tensor& images) {
  std::array<std::array<Element, 256>, 3> levels{};
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t v = 0; v < 256; ++v)
      if constexpr (std::is_same_v<Element, std::uint8_t>)
        levels[c][v] = static_cast<std::uint8_t>(v);
      else
        levels[c][v] = static_cast<Element>(
            (static_cast<float>(v) / 255.0F - static_cast<float>(made.mean[c])) /
            static_cast<float>(made.deviation[c]));
  const std::int64_t plane = table.image_size * table.image_size;
  const bool channels_last = made.format == at::MemoryFormat::ChannelsLast;
  auto* all = images.mutable_data_ptr<Element>();
  for (std::size_t piece = 0; piece < packed.pieces.size(); ++piece) {
    const RowsOfPiece part(table, piece);
    const AugmentWorkspace space(table.is_cubic, table.image_size, part.most_width,
                                 part.most_height);
    const std::uint8_t* pixels = packed.pieces[piece].const_data_ptr<std::uint8_t>();
    at::parallel_for(0, std::ssize(part.rows), 1, [&](std::int64_t i, std::int64_t end) {
      const auto memory =
          std::make_unique_for_overwrite<std::uint8_t[]>(static_cast<std::size_t>(space.bytes()));
      HostTeam team;
      for (; i < end; ++i) {
        const AugmentRow& row = part.rows[static_cast<std::size_t>(i)];
        Element* out = all + row.image * 3 * plane;
        augment_image(pixels + row.pixels, row, table.erased.data(), table.is_cubic, space,
                      memory.get(), team, [&](std::int64_t place, const std::uint8_t* pixel) {
                        for (std::int64_t c = 0; c < 3; ++c)
                          out[channels_last ? 3 * place + c : c * plane + place] =
                              levels[static_cast<std::size_t>(c)][pixel[c]];
                      });
      }
    });
  }
}

#ifdef CONTRAPUNTO_HAS_CUDA
/// Most blocks of threads, which bounds the workspace. An H100 runs two on each of 132 processors.
constexpr std::int64_t kMostAugmentTeams = 264;

/// The arguments for the rows of a piece, without the tensors that hold them.
inline AugmentImagesArguments augment_images_arguments(const PackedImages::Table& table,
                                                       const RowsOfPiece& part,
                                                       const AugmentedImages& made,
                                                       at::Tensor& images) {
  AugmentImagesArguments a;
  a.images = std::ssize(part.rows);
  a.size = table.image_size;
  a.is_cubic = table.is_cubic;
  a.channels_last = made.format == at::MemoryFormat::ChannelsLast;
  a.most_width = part.most_width;
  a.most_height = part.most_height;
  a.teams = std::min(a.images, kMostAugmentTeams);
  a.results = images.mutable_data_ptr();
  a.element = made.dtype == at::kByte       ? AugmentedElement::kUInt8
              : made.dtype == at::kFloat    ? AugmentedElement::kFloat32
              : made.dtype == at::kBFloat16 ? AugmentedElement::kBFloat16
                                            : AugmentedElement::kFloat16;
  for (std::size_t c = 0; c < 3; ++c) {
    a.mean[c] = static_cast<float>(made.mean[c]);
    a.deviation[c] = static_cast<float>(made.deviation[c]);
  }
  return a;
}

/// The rows and the boxes of `table` in one tensor of the host, so that they travel together.
inline at::Tensor packed_rows(const PackedImages::Table& table, const RowsOfPiece& part,
                              bool pinned) {
  const std::size_t row_bytes = part.rows.size() * sizeof(AugmentRow);
  const std::size_t box_bytes = table.erased.size() * sizeof(RowErasedBox);
  const at::Tensor bytes = at::empty({static_cast<std::int64_t>(row_bytes + box_bytes)},
                                     at::TensorOptions(at::kByte).pinned_memory(pinned));
  auto* to = bytes.mutable_data_ptr<std::uint8_t>();
  std::memcpy(to, part.rows.data(), row_bytes);
  if (box_bytes > 0) std::memcpy(to + row_bytes, table.erased.data(), box_bytes);
  return bytes;
}

/// Sets the memory of the arguments: a piece, the tensor of packed_rows() and the workspace.
inline void set_memory(AugmentImagesArguments& a, const at::Tensor& pixels, const at::Tensor& rows,
                       const at::Tensor& workspace) {
  a.pixels = pixels.const_data_ptr<std::uint8_t>();
  a.rows = reinterpret_cast<const AugmentRow*>(rows.const_data_ptr<std::uint8_t>());
  a.erased = reinterpret_cast<const RowErasedBox*>(a.rows + a.images);
  a.workspace = workspace.mutable_data_ptr<std::uint8_t>();
}

/// Copies one piece after another to the device and makes its images there. All of it is queued on
/// the current stream, so a piece takes the memory of the one before it.
inline void augment_images_cuda(const PackedImages& packed, const AugmentedImages& made,
                                std::vector<at::Tensor>& images) {
  const c10::Device device = images.front().device();
  const c10::cuda::CUDAGuard on(device);
  for (std::size_t piece = 0; piece < packed.pieces.size(); ++piece) {
    const at::Tensor pixels = packed.pieces[piece].to(device, at::kByte, /*non_blocking=*/true);
    for (std::size_t t = 0; t < packed.tables.size(); ++t) {
      const PackedImages::Table& table = packed.tables[t];
      const RowsOfPiece part(table, piece);
      if (part.rows.empty()) continue;
      AugmentImagesArguments a = augment_images_arguments(table, part, made, images[t]);
      const at::Tensor rows =
          packed_rows(table, part, /*pinned=*/true).to(device, at::kByte, /*non_blocking=*/true);
      const AugmentWorkspace space(a.is_cubic, a.size, a.most_width, a.most_height);
      const at::Tensor workspace =
          at::empty({a.teams * space.bytes()}, at::TensorOptions(at::kByte).device(device));
      set_memory(a, pixels, rows, workspace);
      C10_CUDA_CHECK(launch_augment_images(a, c10::cuda::getCurrentCUDAStream()));
    }
  }
}
#endif

}  // namespace detail

/// Resizes, mirrors, recolors and erases the images of a batch on `device` as was drawn for each of
/// them, and optionally normalizes the colors in the same pass. Returns [B, 3, S, S] for each
/// table, with the dtype and the memory format of `made`.
///
/// On the CPU the bytes are those of ImageTransform::apply(), and normalized colors are those of
/// normalize_images() for these bytes. The CUDA kernel is the same code and rounds alike, except
/// that the noise of erased boxes uses the logarithm and the cosine of CUDA's library, whose last
/// bits differ from the host's: a byte may differ by one where the level is within 1e-12 of the
/// middle between two bytes. The kernel is queued on the current stream, and pinned pieces are
/// copied without waiting. It needs contrapunto::cuda. Raises for another device, for deviations
/// that are not positive, and for another dtype or memory format.
[[nodiscard]] inline std::vector<at::Tensor> augment_images(const PackedImages& packed,
                                                            c10::Device device,
                                                            const AugmentedImages& made = {}) {
  detail::check_augment_device(device);
  TORCH_CHECK(made.dtype == at::kByte || made.dtype == at::kFloat || made.dtype == at::kBFloat16 ||
                  made.dtype == at::kHalf,
              "augment_images: dtype is ", made.dtype, ", expected Byte, Float, BFloat16 or Half");
  TORCH_CHECK(made.deviation[0] > 0 && made.deviation[1] > 0 && made.deviation[2] > 0,
              "augment_images: deviation is (", made.deviation[0], ", ", made.deviation[1], ", ",
              made.deviation[2], "), expected three positive numbers");
  TORCH_CHECK(
      made.format == at::MemoryFormat::Contiguous || made.format == at::MemoryFormat::ChannelsLast,
      "augment_images: memory format is ", made.format, ", expected Contiguous or ChannelsLast");
  std::vector<at::Tensor> images;
  for (const PackedImages::Table& table : packed.tables)
    images.push_back(at::empty({std::ssize(table.rows), 3, table.image_size, table.image_size},
                               at::TensorOptions(made.dtype).device(device), made.format));
  if (images.empty()) return images;
  if (device.is_cpu()) {
    for (std::size_t t = 0; t < images.size(); ++t) {
      const PackedImages::Table& table = packed.tables[t];
      if (made.dtype == at::kByte)
        detail::augment_images_on_host<std::uint8_t>(packed, table, made, images[t]);
      else if (made.dtype == at::kFloat)
        detail::augment_images_on_host<float>(packed, table, made, images[t]);
      else if (made.dtype == at::kHalf)
        detail::augment_images_on_host<at::Half>(packed, table, made, images[t]);
      else
        detail::augment_images_on_host<at::BFloat16>(packed, table, made, images[t]);
    }
    return images;
  }
#ifdef CONTRAPUNTO_HAS_CUDA
  detail::augment_images_cuda(packed, made, images);
#endif
  return images;
}

}  // namespace contrapunto

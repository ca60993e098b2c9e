// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "kernels/augment_images_checks.hpp"

// The CUDA kernel itself, run by the CPU.
#ifdef CONTRAPUNTO_HAS_CUDA
#include "support/emulated_cuda.hpp"

namespace contrapunto_emulated::detail {
using namespace ::contrapunto::detail;
}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#define contrapunto contrapunto_emulated
#include "contrapunto/kernels/augment_images.cuh"
#undef contrapunto
#pragma GCC diagnostic pop

using namespace contrapunto;

namespace {

namespace kernels = contrapunto_emulated::detail;

/// augment_images() with few blocks, each of which makes several images; the launches mirror those
/// of the CUDA file.
struct EmulatedAugment {
  std::vector<at::Tensor> operator()(const PackedImages& packed,
                                     const AugmentedImages& made) const {
    using contrapunto::detail::AugmentedElement;
    std::vector<at::Tensor> images;
    for (const auto& table : packed.tables) {
      images.push_back(
          torch::zeros({std::ssize(table.rows), 3, table.image_size, table.image_size}, made.dtype)
              .contiguous(made.format));
      for (std::size_t piece = 0; piece < packed.pieces.size(); ++piece) {
        const contrapunto::detail::RowsOfPiece part(table, piece);
        if (part.rows.empty()) continue;
        auto a = contrapunto::detail::augment_images_arguments(table, part, made, images.back());
        a.teams = std::min<std::int64_t>(a.teams, 3);
        const auto rows = contrapunto::detail::packed_rows(table, part, /*pinned=*/false);
        const contrapunto::detail::AugmentWorkspace space(a.is_cubic, a.size, a.most_width,
                                                          a.most_height);
        const auto workspace = torch::full({a.teams * space.bytes()}, 0xA5, torch::kByte);
        contrapunto::detail::set_memory(a, packed.pieces[piece], rows, workspace);
        const auto launch = [&](auto kernel) {
          emulated_cuda::launch(kernel, {static_cast<unsigned>(a.teams), 1, 1},
                                kernels::kAugmentThreads, a);
        };
        if (a.element == AugmentedElement::kUInt8)
          launch(kernels::augment_images_by_block<std::uint8_t>);
        else if (a.element == AugmentedElement::kFloat32)
          launch(kernels::augment_images_by_block<float>);
        else if (a.element == AugmentedElement::kBFloat16)
          launch(kernels::augment_images_by_block<__nv_bfloat16>);
        else
          launch(kernels::augment_images_by_block<__half>);
      }
    }
    return images;
  }
};

}  // namespace

TEST_CASE(
    "The kernel that augments images, run thread by thread on the CPU, gives the bytes of "
    "the transform",
    "[kernels][cpu]") {
  for (const auto& given : test::augment_cases(12))
    test::check_augment_case(EmulatedAugment{}, given);
}
#endif

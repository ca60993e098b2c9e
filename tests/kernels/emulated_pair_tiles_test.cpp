// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "kernels/pair_tile_checks.hpp"

// The CUDA kernels themselves, run by the CPU.
#ifdef CONTRAPUNTO_HAS_CUDA
#include "support/emulated_cuda.hpp"

namespace contrapunto_emulated::detail {
using namespace ::contrapunto::detail;
}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#define contrapunto contrapunto_emulated
#include "contrapunto/kernels/pair_tiles.cuh"
#undef contrapunto
#pragma GCC diagnostic pop

using namespace contrapunto;

namespace {

namespace kernels = contrapunto_emulated::detail;
using contrapunto::detail::TileArguments;

bool can_group(const TileArguments& t) {
  return t.columns % 4 == 0;
}

emulated_cuda::Index grid_of(const TileArguments& t) {
  return {static_cast<unsigned>(contrapunto::detail::tile_panels(t.columns)),
          static_cast<unsigned>(contrapunto::detail::tile_strips(t.rows)), 1};
}

template <class Arguments>
void launch(void (*grouped)(Arguments), void (*single)(Arguments), const Arguments& a) {
  emulated_cuda::launch(can_group(a.tile) ? grouped : single, grid_of(a.tile),
                        kernels::kTileThreads, a);
}

/// As TileApi; the launches mirror those of the CUDA file.
struct EmulatedTiles {
  torch::Device device{torch::kCPU};

  void exp_sums(at::Tensor& z, const at::Tensor& scale, double offset,
                const contrapunto::detail::TilePairs& pairs, const at::Tensor& rows,
                const at::Tensor& columns, const at::Tensor& kept) const {
    const auto workspace =
        torch::full({contrapunto::detail::exp_sums_workspace(z.size(0), z.size(1))}, NAN);
    const auto a = contrapunto::detail::exp_sums_arguments(z, scale, offset, pairs, rows, columns,
                                                           kept, workspace);
    using None = kernels::NothingKept;
    if (!kept.defined())
      launch(kernels::exp_sums_of_tile<true, None>, kernels::exp_sums_of_tile<false, None>, a);
    else if (kept.scalar_type() == torch::kFloat)
      launch(kernels::exp_sums_of_tile<true, float>, kernels::exp_sums_of_tile<false, float>, a);
    else
      launch(kernels::exp_sums_of_tile<true, __nv_bfloat16>,
             kernels::exp_sums_of_tile<false, __nv_bfloat16>, a);
    const auto sums = z.size(0) + z.size(1);
    const auto blocks =
        static_cast<unsigned>((sums + kernels::kTileThreads - 1) / kernels::kTileThreads);
    emulated_cuda::launch(kernels::finish_exp_sums, {blocks, 1, 1}, kernels::kTileThreads, a);
  }

  template <class Gradient>
  void gradient_as(const contrapunto::detail::GradientTileArguments& a) const {
    using contrapunto::detail::TileElement;
    if (a.kept_as == TileElement::kNone)
      launch(kernels::gradient_of_tile<true, false, float, Gradient>,
             kernels::gradient_of_tile<false, false, float, Gradient>, a);
    else if (a.kept_as == TileElement::kFloat32)
      launch(kernels::gradient_of_tile<true, true, float, Gradient>,
             kernels::gradient_of_tile<false, true, float, Gradient>, a);
    else
      launch(kernels::gradient_of_tile<true, true, __nv_bfloat16, Gradient>,
             kernels::gradient_of_tile<false, true, __nv_bfloat16, Gradient>, a);
  }

  void gradient(at::Tensor& z, const at::Tensor& kept, const at::Tensor& scale, double offset,
                const contrapunto::detail::TilePairs& pairs, const at::Tensor& rows,
                const at::Tensor& columns, const at::Tensor& positives,
                at::Tensor& gradient) const {
    const auto a = contrapunto::detail::gradient_tile_arguments(z, kept, scale, offset, pairs, rows,
                                                                columns, positives, gradient);
    if (gradient.scalar_type() == torch::kFloat)
      gradient_as<float>(a);
    else if (gradient.scalar_type() == torch::kHalf)
      gradient_as<__half>(a);
    else
      gradient_as<__nv_bfloat16>(a);
  }

  void sigmoid(at::Tensor& z, const at::Tensor& scale, const at::Tensor& bias,
               const contrapunto::detail::TilePairs& pairs, at::Tensor& loss,
               at::Tensor& bias_gradient, double factor, const at::Tensor& positives,
               const at::Tensor& gradient) const {
    const auto workspace = torch::full(
        {contrapunto::detail::sigmoid_workspace(z.size(0), z.size(1))}, NAN, torch::kDouble);
    const auto a = contrapunto::detail::sigmoid_tile_arguments(
        z, scale, bias, pairs, loss, bias_gradient, factor, positives, gradient, workspace);
    using None = kernels::NothingKept;
    if (!gradient.defined())
      launch(kernels::sigmoid_of_tile<true, None>, kernels::sigmoid_of_tile<false, None>, a);
    else if (gradient.scalar_type() == torch::kFloat)
      launch(kernels::sigmoid_of_tile<true, float>, kernels::sigmoid_of_tile<false, float>, a);
    else if (gradient.scalar_type() == torch::kHalf)
      launch(kernels::sigmoid_of_tile<true, __half>, kernels::sigmoid_of_tile<false, __half>, a);
    else
      launch(kernels::sigmoid_of_tile<true, __nv_bfloat16>,
             kernels::sigmoid_of_tile<false, __nv_bfloat16>, a);
    emulated_cuda::launch(kernels::finish_sigmoid, {1, 1, 1}, kernels::kTileThreads, a);
  }
};

}  // namespace

TEST_CASE("The kernels of tiles, run thread by thread on the CPU, agree with float64",
          "[kernels][cpu]") {
  test::check_tiles(EmulatedTiles{}, 100000);
}
#endif

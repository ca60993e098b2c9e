// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "contrapunto/kernels/detail/pair_tiles_launch.hpp"

namespace contrapunto::detail {

// A warp reads 512 columns of a row at once, 16 per lane, and processes every eighth row of the 128
// rows of its block. The column sums therefore stay in registers, and a row costs five shuffles.
// The sums of the blocks go to a workspace and are added in a fixed order, so the results are the
// same in every run, unlike those of float atomics.
inline constexpr unsigned kTileThreads = 256;
inline constexpr unsigned kTileWarps = kTileThreads / 32;
inline constexpr unsigned kTilePerLane = kTilePanel / 32;
static_assert(kTilePerLane == 16 && kTileStrip % kTileWarps == 0);

template <class Element>
struct alignas(4 * sizeof(Element)) ElementGroup {
  Element at[4];
};

__device__ inline float tile_float(float value) {
  return value;
}
__device__ inline float tile_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}
__device__ inline void tile_round(float value, float& to) {
  to = value;
}
__device__ inline void tile_round(float value, __nv_bfloat16& to) {
  to = __float2bfloat16_rn(value);
}
__device__ inline void tile_round(float value, __half& to) {
  to = __float2half_rn(value);
}

/// Returns the position of a lane's k-th number in the panel. If groups of four cannot be read at
/// once, neighboring lanes take neighboring columns.
template <bool kGroups>
__device__ inline unsigned tile_column(unsigned k, unsigned lane) {
  return k / 4 * 128 + (kGroups ? lane * 4 + k % 4 : k % 4 * 32 + lane);
}

/// Reads 16 numbers of a row of a panel; 0 outside. `left` is the number of columns from the
/// beginning of the panel on.
template <bool kGroups, class Element>
__device__ inline void read_tile_row(const Element* row, std::int64_t left, unsigned lane,
                                     float (&values)[kTilePerLane]) {
  if constexpr (kGroups) {
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; k += 4) {
      const unsigned column = tile_column<true>(k, lane);
      ElementGroup<Element> group{};
      if (column < left) group = *reinterpret_cast<const ElementGroup<Element>*>(row + column);
#pragma unroll
      for (unsigned e = 0; e < 4; ++e) values[k + e] = tile_float(group.at[e]);
    }
  } else {
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; ++k) {
      const unsigned column = tile_column<false>(k, lane);
      values[k] = column < left ? tile_float(row[column]) : 0.0F;
    }
  }
}

template <bool kGroups, class Element>
__device__ inline void write_tile_row(Element* row, std::int64_t left, unsigned lane,
                                      const float (&values)[kTilePerLane]) {
  if constexpr (kGroups) {
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; k += 4) {
      const unsigned column = tile_column<true>(k, lane);
      ElementGroup<Element> group;
#pragma unroll
      for (unsigned e = 0; e < 4; ++e) tile_round(values[k + e], group.at[e]);
      if (column < left) *reinterpret_cast<ElementGroup<Element>*>(row + column) = group;
    }
  } else {
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; ++k) {
      const unsigned column = tile_column<false>(k, lane);
      if (column < left) tile_round(values[k], row[column]);
    }
  }
}

/// The position of a thread in a tile.
struct TilePlace {
  unsigned lane, warp;
  std::int64_t panel;     ///< First column of the block.
  std::int64_t left;      ///< Number of columns from there on.
  std::int64_t row;       ///< First row of the warp.
  std::int64_t rows_end;  ///< End of the rows of the block.
};

__device__ inline TilePlace place_in_tile(const TileArguments& a) {
  TilePlace p;
  p.lane = threadIdx.x % 32;
  p.warp = threadIdx.x / 32;
  p.panel = std::int64_t{blockIdx.x} * kTilePanel;
  p.left = a.columns - p.panel;
  const std::int64_t strip = std::int64_t{blockIdx.y} * kTileStrip;
  p.row = strip + p.warp;
  p.rows_end = strip + kTileStrip < a.rows ? strip + kTileStrip : a.rows;
  return p;
}

/// Writes the keys of the block's columns to shared memory.
__device__ inline void share_column_keys(const TileArguments& a, const TilePlace& p,
                                         std::int64_t* keys) {
  if (a.column_keys == nullptr) return;
  for (unsigned k = threadIdx.x; k < kTilePanel; k += kTileThreads)
    keys[k] = k < p.left ? a.column_keys[p.panel + k] : 0;
  __syncthreads();
}

/// Returns the column of the row's positive relative to the panel. It is negative or beyond the
/// panel if the positive is elsewhere.
__device__ inline std::int64_t positive_in_panel(const TileArguments& a, const TilePlace& p,
                                                 std::int64_t row) {
  return row + a.diagonal - p.panel;
}
__device__ inline bool inside_panel(std::int64_t column, const TilePlace& p) {
  return column >= 0 && column < kTilePanel && column < p.left;
}

/// Calls `put(k)` for each of the 16 pairs that has the key of its row and is not a positive.
template <bool kGroups, class Put>
__device__ inline void drop_same_keys(const TileArguments& a, const TilePlace& p,
                                      const std::int64_t* keys, std::int64_t row, const Put& put) {
  if (a.row_keys == nullptr) return;
  const std::int64_t key = a.row_keys[row];
  const std::int64_t positive = positive_in_panel(a, p, row);
#pragma unroll
  for (unsigned k = 0; k < kTilePerLane; ++k) {
    const unsigned column = tile_column<kGroups>(k, p.lane);
    if (keys[column] == key && column != positive) put(k);
  }
}

/// Replaces 16 products by exp(logit - offset) in place; 0 for pairs that are excluded or do not
/// exist.
template <bool kGroups>
__device__ inline void exponentials(const TileArguments& a, const TilePlace& p,
                                    const std::int64_t* keys, std::int64_t row, float scale,
                                    float offset, float (&values)[kTilePerLane]) {
#pragma unroll
  for (unsigned k = 0; k < kTilePerLane; ++k) {
    const float e = expf(fmaf(values[k], scale, -offset));
    values[k] = tile_column<kGroups>(k, p.lane) < p.left ? e : 0.0F;
  }
  drop_same_keys<kGroups>(a, p, keys, row, [&](unsigned k) { values[k] = 0.0F; });
}

/// Sets the exponential of the positive, if it is among the 16, to its required value.
template <bool kGroups>
__device__ inline void set_positive(const TileArguments& a, const TilePlace& p, std::int64_t row,
                                    float offset, float (&values)[kTilePerLane]) {
  const std::int64_t positive = positive_in_panel(a, p, row);
  if (!inside_panel(positive, p) || (a.positives == nullptr && !a.drop_positives)) return;
  const float e = a.drop_positives ? 0.0F : expf(a.positives[row - a.first] - offset);
#pragma unroll
  for (unsigned k = 0; k < kTilePerLane; ++k)
    if (tile_column<kGroups>(k, p.lane) == positive) values[k] = e;
}

struct NothingKept {};

template <bool kGroups, class Kept>
__global__ void __launch_bounds__(kTileThreads) exp_sums_of_tile(ExpSumsArguments a) {
  __shared__ std::int64_t keys[kTilePanel];
  __shared__ float columns[kTileWarps][kTilePanel];
  const TileArguments& t = a.tile;
  const TilePlace p = place_in_tile(t);
  share_column_keys(t, p, keys);
  const float scale = t.scale == nullptr ? 1.0F : *t.scale;
  float* row_partials = a.workspace + std::int64_t{blockIdx.x} * t.rows;
  float* column_partials =
      a.workspace + tile_panels(t.columns) * t.rows + std::int64_t{blockIdx.y} * t.columns;

  float of_columns[kTilePerLane] = {};
  for (std::int64_t row = p.row; row < p.rows_end; row += kTileWarps) {
    const std::int64_t begin = row * t.columns + p.panel;
    float values[kTilePerLane];
    read_tile_row<kGroups>(t.products + begin, p.left, p.lane, values);
    exponentials<kGroups>(t, p, keys, row, scale, a.offset, values);
    set_positive<kGroups>(t, p, row, a.offset, values);
    if constexpr (!std::is_same_v<Kept, NothingKept>)
      write_tile_row<kGroups>(static_cast<Kept*>(a.kept) + begin, p.left, p.lane, values);
    float of_row = 0.0F;
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; ++k) {
      of_columns[k] += values[k];
      of_row += values[k];
    }
#pragma unroll
    for (unsigned mask = 16; mask > 0; mask /= 2)
      of_row += __shfl_xor_sync(0xffffffffU, of_row, mask);
    if (p.lane == 0) row_partials[row] = of_row;
  }
  if (a.column_sums == nullptr) return;
#pragma unroll
  for (unsigned k = 0; k < kTilePerLane; ++k)
    columns[p.warp][tile_column<kGroups>(k, p.lane)] = of_columns[k];
  __syncthreads();
  for (unsigned k = threadIdx.x; k < kTilePanel; k += kTileThreads) {
    float sum = 0.0F;
#pragma unroll
    for (unsigned w = 0; w < kTileWarps; ++w) sum += columns[w][k];
    if (k < p.left) column_partials[p.panel + k] = sum;
  }
}

/// Adds the results of the blocks, with one thread per row and column.
__global__ void __launch_bounds__(kTileThreads) finish_exp_sums(ExpSumsArguments a) {
  const std::int64_t rows = a.tile.rows, columns = a.tile.columns;
  std::int64_t i = std::int64_t{blockIdx.x} * kTileThreads + threadIdx.x;
  const float* partials = a.workspace;
  float* sums = a.row_sums;
  std::int64_t length = rows, count = tile_panels(columns);
  if (i >= rows) {
    i -= rows;
    partials += count * rows;
    sums = a.column_sums;
    length = columns;
    count = tile_strips(rows);
    if (sums == nullptr || i >= columns) return;
  }
  float sum = 0.0F;
#pragma unroll 8
  for (std::int64_t k = 0; k < count; ++k) sum += partials[k * length + i];
  sums[i] += sum;
}

/// `Source` is float for products if nothing was kept, and otherwise the type of the kept
/// exponentials.
template <bool kGroups, bool kKept, class Source, class Gradient>
__global__ void __launch_bounds__(kTileThreads) gradient_of_tile(GradientTileArguments a) {
  __shared__ std::int64_t keys[kTilePanel];
  const TileArguments& t = a.tile;
  const TilePlace p = place_in_tile(t);
  if constexpr (!kKept) share_column_keys(t, p, keys);
  const float scale = t.scale == nullptr ? 1.0F : *t.scale;
  // Not restrict, because the gradient may be in the memory of the products.
  const auto* source =
      static_cast<const Source*>(kKept ? a.kept : static_cast<const void*>(t.products));
  float of_columns[kTilePerLane] = {};
  if (a.column_weights != nullptr)
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; ++k) {
      const unsigned column = tile_column<kGroups>(k, p.lane);
      of_columns[k] = column < p.left ? a.column_weights[p.panel + column] : 0.0F;
    }
  for (std::int64_t row = p.row; row < p.rows_end; row += kTileWarps) {
    const std::int64_t begin = row * t.columns + p.panel;
    float values[kTilePerLane];
    read_tile_row<kGroups>(source + begin, p.left, p.lane, values);
    if constexpr (!kKept) exponentials<kGroups>(t, p, keys, row, scale, a.offset, values);
    set_positive<kGroups>(t, p, row, a.offset, values);
    const float of_row = a.row_weights[row];
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; ++k) values[k] *= of_row + of_columns[k];
    const std::int64_t positive = positive_in_panel(t, p, row);
    if (a.positive_gradients != nullptr && inside_panel(positive, p)) {
#pragma unroll
      for (unsigned k = 0; k < kTilePerLane; ++k)
        if (tile_column<kGroups>(k, p.lane) == positive) {
          a.positive_gradients[row - t.first] = values[k];
          values[k] = 0.0F;
        }
    }
    write_tile_row<kGroups>(static_cast<Gradient*>(a.gradient) + begin, p.left, p.lane, values);
  }
}

/// Returns the sum over the block, which does not depend on the order of its warps. It is complete
/// in thread 0.
__device__ inline double sum_over_block(double value, double* of_warps) {
#pragma unroll
  for (unsigned mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffU, value, mask);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0.0;
  for (unsigned w = 0; w < kTileWarps; ++w) sum += of_warps[w];
  __syncthreads();
  return sum;
}

template <bool kGroups, class Gradient>
__global__ void __launch_bounds__(kTileThreads) sigmoid_of_tile(SigmoidTileArguments a) {
  constexpr bool kGradient = !std::is_same_v<Gradient, NothingKept>;
  __shared__ std::int64_t keys[kTilePanel];
  __shared__ double of_warps[kTileWarps];
  const TileArguments& t = a.tile;
  const TilePlace p = place_in_tile(t);
  share_column_keys(t, p, keys);
  const float scale = t.scale == nullptr ? 1.0F : *t.scale;
  const float bias = *a.bias;
  const float none = -INFINITY;
  double loss = 0.0, bias_gradient = 0.0;
  for (std::int64_t row = p.row; row < p.rows_end; row += kTileWarps) {
    const std::int64_t begin = row * t.columns + p.panel;
    const std::int64_t positive = positive_in_panel(t, p, row);
    float values[kTilePerLane];
    read_tile_row<kGroups>(t.products + begin, p.left, p.lane, values);
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; ++k)
      values[k] = tile_column<kGroups>(k, p.lane) < p.left ? fmaf(values[k], scale, bias) : none;
    drop_same_keys<kGroups>(t, p, keys, row, [&](unsigned k) { values[k] = none; });
    float row_loss = 0.0F, row_gradient = 0.0F;
    if (inside_panel(positive, p)) {
#pragma unroll
      for (unsigned k = 0; k < kTilePerLane; ++k)
        if (tile_column<kGroups>(k, p.lane) == positive) {
          // Positives have the opposite sign. A logit of -inf adds nothing to the loss and the
          // gradient.
          const float z = t.positives == nullptr ? values[k] : t.positives[row - t.first];
          const float e = expf(-fabsf(z));
          row_loss += fmaxf(-z, 0.0F) + log1pf(e);
          const float g = -__fdividef(z > 0.0F ? e : 1.0F, 1.0F + e);
          row_gradient += g;
          if (a.positive_gradients != nullptr) a.positive_gradients[row - t.first] = g;
          values[k] = none;
        }
    }
#pragma unroll
    for (unsigned k = 0; k < kTilePerLane; ++k) {
      const float z = values[k];
      const float e = expf(-fabsf(z));
      row_loss += fmaxf(z, 0.0F) + log1pf(e);
      if constexpr (kGradient) {
        const float g = __fdividef(z > 0.0F ? 1.0F : e, 1.0F + e);
        row_gradient += g;
        values[k] = a.factor * g;
      }
    }
    loss += static_cast<double>(row_loss);
    bias_gradient += static_cast<double>(row_gradient);
    if constexpr (kGradient)
      write_tile_row<kGroups>(static_cast<Gradient*>(a.gradient) + begin, p.left, p.lane, values);
  }
  loss = sum_over_block(loss, of_warps);
  bias_gradient = sum_over_block(bias_gradient, of_warps);
  if (threadIdx.x == 0) {
    double* partials = a.workspace + 2 * (std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x);
    partials[0] = loss;
    partials[1] = bias_gradient;
  }
}

/// Runs as a single block.
__global__ void __launch_bounds__(kTileThreads) finish_sigmoid(SigmoidTileArguments a) {
  __shared__ double of_warps[kTileWarps];
  const std::int64_t blocks = tile_panels(a.tile.columns) * tile_strips(a.tile.rows);
  double loss = 0.0, bias_gradient = 0.0;
  for (std::int64_t i = threadIdx.x; i < blocks; i += kTileThreads) {
    loss += a.workspace[2 * i];
    bias_gradient += a.workspace[2 * i + 1];
  }
  loss = sum_over_block(loss, of_warps);
  bias_gradient = sum_over_block(bias_gradient, of_warps);
  if (threadIdx.x != 0) return;
  *a.loss += loss;
  if (a.bias_gradient != nullptr) *a.bias_gradient += bias_gradient;
}

#ifdef __CUDACC__
inline bool can_group(std::int64_t columns, const void* pointer, std::uintptr_t bytes) {
  return columns % 4 == 0 && reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

inline dim3 tile_blocks(const TileArguments& t) {
  return dim3(static_cast<unsigned>(tile_panels(t.columns)),
              static_cast<unsigned>(tile_strips(t.rows)));
}

template <class Kept>
cudaError_t launch_exp_sums_keeping(const ExpSumsArguments& a, cudaStream_t stream) {
  const TileArguments& t = a.tile;
  if (can_group(t.columns, t.products, 16) && can_group(t.columns, a.kept, 16))
    exp_sums_of_tile<true, Kept><<<tile_blocks(t), kTileThreads, 0, stream>>>(a);
  else
    exp_sums_of_tile<false, Kept><<<tile_blocks(t), kTileThreads, 0, stream>>>(a);
  const auto threads = t.rows + (a.column_sums == nullptr ? 0 : t.columns);
  const auto blocks = static_cast<unsigned>((threads + kTileThreads - 1) / kTileThreads);
  finish_exp_sums<<<blocks, kTileThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

template <bool kKept, class Source, class Gradient>
cudaError_t launch_gradient_tile_as(const GradientTileArguments& a, cudaStream_t stream) {
  const TileArguments& t = a.tile;
  const void* source = kKept ? a.kept : t.products;
  if (can_group(t.columns, source, 16) && can_group(t.columns, a.gradient, 16))
    gradient_of_tile<true, kKept, Source, Gradient><<<tile_blocks(t), kTileThreads, 0, stream>>>(a);
  else
    gradient_of_tile<false, kKept, Source, Gradient>
        <<<tile_blocks(t), kTileThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

template <class Gradient>
cudaError_t launch_gradient_tile_to(const GradientTileArguments& a, cudaStream_t stream) {
  switch (a.kept_as) {
    case TileElement::kNone:
      return launch_gradient_tile_as<false, float, Gradient>(a, stream);
    case TileElement::kFloat32:
      return launch_gradient_tile_as<true, float, Gradient>(a, stream);
    case TileElement::kBFloat16:
      return launch_gradient_tile_as<true, __nv_bfloat16, Gradient>(a, stream);
    case TileElement::kFloat16:
      break;
  }
  return cudaErrorInvalidValue;
}

template <class Gradient>
cudaError_t launch_sigmoid_tile_to(const SigmoidTileArguments& a, cudaStream_t stream) {
  const TileArguments& t = a.tile;
  if (can_group(t.columns, t.products, 16) && can_group(t.columns, a.gradient, 16))
    sigmoid_of_tile<true, Gradient><<<tile_blocks(t), kTileThreads, 0, stream>>>(a);
  else
    sigmoid_of_tile<false, Gradient><<<tile_blocks(t), kTileThreads, 0, stream>>>(a);
  finish_sigmoid<<<1, kTileThreads, 0, stream>>>(a);
  return cudaGetLastError();
}
#endif

}  // namespace contrapunto::detail
